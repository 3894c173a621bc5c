"""An identity provider: what it says of itself, and the keys that it signs with.

OpenID Connect Discovery 1.0 and RFC 7517. Owns the cache: asked about once an hour, sooner for a
key that is not known yet, but never more than once in a while, whoever makes up such keys.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from service.domain.problems import Problem
from service.identity.fetching import fetch_json, unavailable

_FRESH_SECONDS: Final = 3600.0
#: Keys that could not be had anew serve so long: a provider may be away for a while.
_STALE_SECONDS: Final = 24 * 3600.0
_UNKNOWN_KEY_SECONDS: Final = 10.0
_AFTER_FAILURE_SECONDS: Final = 2.0
_PATIENCE_SECONDS: Final = 3.0
_MOST_KEYS: Final = 100
_MOST_PROVIDERS: Final = 1000
_LEAST_RSA_BITS: Final = 2048
#: The public members of a key, by its type: the algorithm follows from the key and never from a
#: token, and nothing else of what a provider publishes is looked at.
_MEMBERS: Final = {"RSA": ("kty", "n", "e"), "EC": ("kty", "crv", "x", "y")}
_ALGORITHMS: Final = {"RSA": "RS256", "EC": "ES256"}


class Provider:
    """One issuer. Safe to share between threads: one of them asks, the others wait for it."""

    def __init__(
        self,
        issuer: str,
        *,
        loopback: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.issuer = issuer
        self._loopback = loopback
        self._clock = clock
        self._lock = threading.Lock()
        self._document: Mapping[str, Any] = {}
        self._keys: Mapping[str, jwt.PyJWK] = {}
        self._asked_at: float | None = None
        self._failed: tuple[float, Problem] | None = None

    def document(self) -> Mapping[str, Any]:
        """Its discovery document. Raises Problem `identity_provider_unavailable`."""
        with self._turn():
            self._refresh(_FRESH_SECONDS)
            return self._document

    def key(self, identity: str) -> jwt.PyJWK | None:
        """The public key of this `kid`; None where it has no such key.

        Raises:
            Problem: `identity_provider_unavailable`.
        """
        with self._turn():
            self._refresh(_FRESH_SECONDS)
            if identity not in self._keys:
                # it may have been added since
                self._refresh(_UNKNOWN_KEY_SECONDS)
            return self._keys.get(identity)

    def post(
        self, address: str, form: Mapping[str, str], headers: Mapping[str, str]
    ) -> dict[str, Any]:
        """Sends a form to one of its addresses. Raises Problem `identity_provider_unavailable`."""
        return fetch_json(
            address, own_host=self._host(), loopback=self._loopback, form=form, headers=headers
        )

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """While a slow provider is asked, those who wait must not take every thread for long."""
        if not self._lock.acquire(timeout=_PATIENCE_SECONDS):
            raise unavailable("it is being asked already, and is slow")
        try:
            yield
        finally:
            self._lock.release()

    def _refresh(self, seconds: float) -> None:
        now = self._clock()
        age = None if self._asked_at is None else now - self._asked_at
        if age is not None and age < seconds:
            return
        if self._failed is not None and now - self._failed[0] < _AFTER_FAILURE_SECONDS:
            problem: Problem = self._failed[1]
        else:
            try:
                self._document, self._keys = self._ask()
                self._asked_at, self._failed = self._clock(), None
                return
            except Problem as caught:
                problem = caught
                self._failed = (self._clock(), problem)
        if age is None or age > _STALE_SECONDS:
            raise problem

    def _ask(self) -> tuple[Mapping[str, Any], Mapping[str, jwt.PyJWK]]:
        document = self._fetch(self.issuer.rstrip("/") + "/.well-known/openid-configuration")
        if document.get("issuer") != self.issuer:
            raise unavailable("its document is that of another issuer")
        return document, _keys_of(self._fetch(str(document.get("jwks_uri"))))

    def _fetch(self, url: str) -> dict[str, Any]:
        return fetch_json(url, own_host=self._host(), loopback=self._loopback)

    def _host(self) -> str:
        return urlsplit(self.issuer).hostname or ""


class Providers:
    """The issuers that somebody trusts, each kept with what it said last."""

    def __init__(self, *, loopback: bool = False) -> None:
        self._loopback = loopback
        self._lock = threading.Lock()
        self._known: dict[str, Provider] = {}

    def of(self, issuer: str) -> Provider:
        """The provider of a trusted issuer; ask for no other."""
        with self._lock:
            if issuer not in self._known:
                if len(self._known) >= _MOST_PROVIDERS:
                    self._known.clear()
                self._known[issuer] = Provider(issuer, loopback=self._loopback)
            return self._known[issuer]


def _keys_of(document: Mapping[str, Any]) -> dict[str, jwt.PyJWK]:
    """The keys that signatures are checked with, by `kid`; others are left out."""
    listed = document.get("keys")
    if not isinstance(listed, list):
        raise unavailable("it publishes no keys")
    found: dict[str, jwt.PyJWK] = {}
    for entry in listed[:_MOST_KEYS]:
        if not isinstance(entry, dict):
            continue
        identity, kind = entry.get("kid"), entry.get("kty")
        if not isinstance(identity, str) or not isinstance(kind, str) or kind not in _MEMBERS:
            continue
        if (
            entry.get("use", "sig") != "sig"
            or entry.get("alg", _ALGORITHMS[kind]) != (_ALGORITHMS[kind])
        ):
            continue
        key = _key({name: entry.get(name) for name in _MEMBERS[kind]})
        if key is not None:
            found.setdefault(identity, key)
    return found


def _key(members: dict[str, Any]) -> jwt.PyJWK | None:
    kind = str(members["kty"])
    if kind == "EC" and members["crv"] != "P-256":
        return None
    try:
        key = jwt.PyJWK(members, _ALGORITHMS[kind])
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    if isinstance(key.key, RSAPublicKey) and key.key.key_size < _LEAST_RSA_BITS:
        return None
    return key
