"""Asking an identity provider: the only requests that the API itself sends to other hosts.

What is asked is named by an administrator (the issuer) or by the issuer's own document, so every
request is held to these rules: https with a verified certificate; the address that was checked is
the one that is connected to, so that a name cannot point elsewhere a moment later; no redirects;
an address of the world (`addresses`), and a private one only for the issuer's own host; there any
port, elsewhere that of https or an unprivileged one; few seconds; few bytes.
"""

from __future__ import annotations

import ipaddress
import json
import re
import socket
import time
from collections.abc import Mapping
from typing import Any, Final, NoReturn
from urllib.parse import SplitResult, urlencode, urlsplit

import urllib3

from service.domain.problems import Problem
from service.identity.addresses import Address, allowed

_CONNECT_SECONDS: Final = 3.0
_READ_SECONDS: Final = 5.0
#: For the whole answer, however slowly it drips.
_WHOLE_SECONDS: Final = 10.0
_MOST_BYTES: Final = 512 << 10
_CHUNK: Final = 16 << 10
_MOST_ADDRESSES: Final = 3
_HTTPS: Final = 443
#: Below, a port is that of some well-known service, and none of them but https is meant.
_UNPRIVILEGED: Final = 1024
#: What an address is written with (RFC 3986); parsers differ on all else, and on backslashes.
_PLAIN: Final = re.compile(r"[!#$&'()*+,\-./0-9:;=?@A-Z\[\]_a-z~%]+")
#: A name in ASCII (other scripts by their `xn--` form) or an IP address, of no zone.
_HOST: Final = re.compile(r"[a-z0-9_](?:[a-z0-9._-]*[a-z0-9_.])?|[0-9a-f:.]+")


def fetch_json(
    url: str,
    *,
    own_host: str,
    loopback: bool = False,
    form: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The JSON object at an address.

    Args:
        own_host: the issuer's, which alone may have a private address.
        loopback: lets this machine be asked, without encryption; for tests.
        form: sent by POST; otherwise it is a GET.

    Raises:
        Problem: `identity_provider_unavailable` for whatever goes wrong; the sentence says what.
    """
    parts = _parts(url, loopback=loopback)
    host = parts.hostname or ""
    port = parts.port or (_HTTPS if parts.scheme == "https" else 80)
    own = host == own_host
    if not (own or loopback or port == _HTTPS or port >= _UNPRIVILEGED):
        raise unavailable(f"port {port} of {host} is another service's")
    addresses = _addresses(host, port, private=own, loopback=loopback)
    if parts.scheme == "http" and not all(address.is_loopback for address in addresses):
        raise unavailable(f"{host} must be asked by https")
    failed: Exception | None = None
    for address in addresses:
        try:
            return _read(parts, host, str(address), port, form, dict(headers or {}))
        except (
            urllib3.exceptions.NewConnectionError,
            urllib3.exceptions.ConnectTimeoutError,
        ) as error:
            failed = error  # nothing was sent: another of its addresses may do
        except (urllib3.exceptions.HTTPError, OSError) as error:
            failed = error
            break
    raise unavailable(f"{host} does not answer ({type(failed).__name__})") from failed


def _read(
    parts: SplitResult,
    host: str,
    address: str,
    port: int,
    form: Mapping[str, str] | None,
    headers: dict[str, str],
) -> dict[str, Any]:
    deadline = time.monotonic() + _WHOLE_SECONDS
    headers |= {"Host": parts.netloc, "Accept": "application/json", "User-Agent": "lossatlas"}
    if form is not None:
        headers["Content-Type"] = "application/x-www-form-urlencoded"
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    with _pool(parts.scheme, host, address, port) as pool:
        answer = pool.urlopen(
            "GET" if form is None else "POST",
            target,
            body=None if form is None else urlencode(form),
            headers=headers,
            redirect=False,
            retries=False,
            preload_content=False,
        )
        body = bytearray()
        for chunk in answer.stream(_CHUNK):
            body += chunk
            if len(body) > _MOST_BYTES:
                raise unavailable(f"{host} answered with more than {_MOST_BYTES} bytes")
            if time.monotonic() > deadline:
                raise unavailable(f"{host} answers too slowly")
    if answer.status != 200:
        raise unavailable(f"{host} answered {answer.status} at {parts.path[:100]}")
    return _object(bytes(body), host)


def _pool(scheme: str, host: str, address: str, port: int) -> urllib3.HTTPConnectionPool:
    """One connection to the address that was checked, with the certificate of the name."""
    timeout = urllib3.Timeout(connect=_CONNECT_SECONDS, read=_READ_SECONDS)
    if scheme == "http":
        return urllib3.HTTPConnectionPool(address, port, timeout=timeout, maxsize=1)
    return urllib3.HTTPSConnectionPool(
        address,
        port,
        timeout=timeout,
        maxsize=1,
        cert_reqs="CERT_REQUIRED",
        server_hostname=host,
        assert_hostname=host,
    )


def _object(body: bytes, host: str) -> dict[str, Any]:
    try:
        found = json.loads(body, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise unavailable(f"{host} answered with what is no JSON") from None
    if not isinstance(found, dict):
        raise unavailable(f"{host} answered with what is no JSON object")
    return found


def _parts(url: str, *, loopback: bool) -> SplitResult:
    try:
        parts = urlsplit(url)
        fine = bool(parts.hostname) and parts.port != 0
    except ValueError:
        raise unavailable("it names an address that cannot be read") from None
    schemes = ("https", "http") if loopback else ("https",)
    if (
        not fine
        or parts.scheme not in schemes
        or "@" in parts.netloc
        or parts.fragment
        or not _PLAIN.fullmatch(url)
        or not _HOST.fullmatch(parts.hostname or "")
    ):
        raise unavailable("it names an address that is no https address")
    return parts


def _addresses(host: str, port: int, *, private: bool, loopback: bool) -> list[Address]:
    """A host's addresses, the preferred ones first; every one that it has must be allowed."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise unavailable(f"there is no host {host[:200]!r}") from None
    addresses = [ipaddress.ip_address(str(entry[4][0])) for entry in found]
    if not addresses or not all(
        allowed(address, private=private, loopback=loopback) for address in addresses
    ):
        raise unavailable(f"{host} is at an address that is not asked")
    return list(dict.fromkeys(addresses))[:_MOST_ADDRESSES]


def unavailable(why: str) -> Problem:
    """The provider cannot be asked now, and why."""
    return Problem(
        "identity_provider_unavailable",
        f"the identity provider cannot be asked: {why}",
        headers={"Retry-After": "5"},
    )


def _refuse(name: str) -> NoReturn:
    raise ValueError(name)
