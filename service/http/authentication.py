"""Who asks: a Bearer key, or a person's session, looked up before anything else. Default deny.

Owns the short list of what needs neither, and what a key may do. A route that forgets to ask for
its caller is guarded all the same. What a session's cookie may do beyond reading is
`service.http.crosssite`'s.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.domain.problems import Problem
from service.http.cookies import Cookie
from service.http.limits import RateLimit
from service.http.proxies import address_of
from service.http.redirects import to_sign_in
from service.http.shares import Asker, Lane, Width
from service.ledger import keys, sessions
from service.ledger.records import KeyRecord
from service.ledger.session import Database

#: What anybody may read: whether the service is there, and how to speak to it.
READABLE: Final = frozenset({"/livez", "/readyz", "/docs", "/openapi.json"})
#: Where one becomes somebody: a key, an identity provider's word or a CI system's token is checked
#: there. Each address has few tries.
ENTRANCES: Final = frozenset(
    {"/sign-in", "/sign-in/oidc", "/sign-in/oidc/callback", "/v1/identity/token"}
)
PUBLIC: Final = READABLE | ENTRANCES
#: A try at these asks another host; failures of the others are counted, and only those.
_VISITS: Final = frozenset({"/sign-in/oidc", "/sign-in/oidc/callback"})
#: Secrets that were right a while ago: their owners need not queue with those who guess.
_MOST_KNOWN: Final = 10_000
#: Threads that look keys up, for all callers and for one address.
_LOOKING_UP: Final = Width(places=8, of_project=4, of_key=4, queue=500)
#: The pages' scripts and styles, which are in the published code.
STATIC: Final = "/static/"
#: Links to single figures, whose address is the secret.
SHARED: Final = "/s/"
METRICS: Final = "/metrics"

CHALLENGE: Final = {"WWW-Authenticate": 'Bearer realm="lossatlas"'}
_WRONG_KEY: Final = {"WWW-Authenticate": 'Bearer realm="lossatlas", error="invalid_token"'}


def is_public(path: str, public: frozenset[str] = PUBLIC) -> bool:
    """Whether a path needs no key."""
    return path in public or path.startswith((STATIC, SHARED))


@dataclass(frozen=True)
class SignedIn:
    """The session that a request came with.

    Attributes:
        id: its row's.
        csrf_token: what a change made with it has to bring. It follows from the cookie, and is
            stored nowhere.
    """

    id: str
    csrf_token: str

    @classmethod
    def of(cls, session_id: str, secret: str) -> SignedIn:
        """The session of this cookie's value."""
        token = hmac.digest(secret.encode(), b"lossatlas csrf token", hashlib.sha256)
        return cls(session_id, base64.urlsafe_b64encode(token).decode().rstrip("="))


@dataclass(frozen=True)
class KeyHolder:
    """The caller: a valid key, and what it may do.

    Attributes:
        key: its row.
        session: the session that acts with it; None where the key itself was sent.
    """

    key: KeyRecord
    session: SignedIn | None = None

    @property
    def csrf_token(self) -> str:
        """For the forms of a page: the hidden field `csrf_token`. Empty without a session."""
        return "" if self.session is None else self.session.csrf_token

    @property
    def projects(self) -> tuple[str, ...] | None:
        """Those it may read; None for all."""
        return self.key.projects

    @property
    def is_admin(self) -> bool:
        """Whether it may manage keys and read metrics."""
        return self.key.role == "admin"

    @property
    def may_add(self) -> bool:
        """Whether it may add anything anywhere."""
        return self.key.role in ("submitter", "admin")

    def can_read(self, project: str) -> bool:
        """Whether things of this project exist for it."""
        return self.projects is None or project in self.projects

    def can_submit(self, project: str) -> bool:
        """Whether it may add to this project."""
        return self.may_add and self.can_read(project)

    def can_promote(self, project: str) -> bool:
        """Whether it may move this project's aliases: a right of its own, beside submitting."""
        return self.can_submit(project) and (self.is_admin or self.key.can_promote)


class Authentication:
    """Middleware: puts the `KeyHolder` into the request's state, or refuses.

    A person without a session who opens a page is sent to sign in.

    Args:
        entrances: tries to sign in that fail, of each address.
        failures: keys and sessions that are none, of each address. Whoever sends a right one is let
            in all the same: the others behind the same address may be anybody.
        cookie: holds the session's secret.
        idle_seconds: after which an unused session ends.
        public: paths that need no key.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        database: Database,
        rate: RateLimit,
        entrances: RateLimit,
        failures: RateLimit,
        cookie: Cookie,
        idle_seconds: int,
        public: frozenset[str] = PUBLIC,
    ) -> None:
        self._app = app
        self._database = database
        self._rate = rate
        self._entrances = entrances
        self._failures = failures
        self._lookups = Lane("keys", _LOOKING_UP)
        self._known: OrderedDict[bytes, None] = OrderedDict()
        self._cookie = cookie
        self._idle_seconds = idle_seconds
        self._public = public

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path, headers = scope["path"], Headers(scope=scope)
        if is_public(path, self._public):
            await self._public_answer(scope, receive, send)
            return
        holder = await self._caller(headers, address_of(scope))
        if holder is None:
            if _is_page(path, headers):
                await to_sign_in(_asked(scope))(scope, receive, send)
                return
            raise _nobody()
        scope["state"]["caller"] = holder
        self._rate.take(holder.key.id)
        await self._app(scope, receive, send)

    async def _public_answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Counts what somebody without a key asks for, where that is work or a try."""
        path, address = scope["path"], address_of(scope)
        if path in _VISITS:
            self._entrances.take(address)
        elif path in ENTRANCES and scope["method"] == "POST":
            attempt = _Attempt(send, self._entrances, address)
            await self._app(scope, receive, attempt.send)
            attempt.finish()
            return
        elif path.startswith(SHARED):
            self._rate.take(f"address {address}")
        await self._app(scope, receive, send)

    async def _caller(self, headers: Headers, address: str) -> KeyHolder | None:
        """Of the key, if one was sent, and otherwise of the session.

        Raises:
            Problem: `unauthenticated` for a key that is none, `rate_limited` for one too many.
        """
        look: Callable[[str], KeyHolder | None]
        if "authorization" in headers:
            look, secret, wrong = self._holder, bearer(headers), _unknown_key()
        else:
            cookie = self._cookie.read(headers.get("cookie"))
            if cookie is None:
                return None
            look, secret, wrong = self._signed_in, cookie, None
        known = hashlib.sha256(secret.encode()).digest()
        who = f"key {known.hex()}" if known in self._known else f"address {address}"
        async with self._lookups.place(Asker(who, who)):
            holder = await run_in_threadpool(look, secret)
        if holder is None:
            self._known.pop(known, None)
            self._failures.take(address)
            if wrong is not None:
                raise wrong
            return None
        self._known[known] = None
        self._known.move_to_end(known)
        if len(self._known) > _MOST_KNOWN:
            self._known.popitem(last=False)
        return holder

    def _signed_in(self, secret: str) -> KeyHolder | None:
        with self._database.transaction() as session:
            found = sessions.authenticate(session, secret, idle_seconds=self._idle_seconds)
        if found is None:
            return None
        signed_in, key = found
        return KeyHolder(key, SignedIn.of(signed_in.id, secret))

    def _holder(self, secret: str) -> KeyHolder | None:
        with self._database.transaction() as session:
            key = keys.authenticate(session, secret)
        return None if key is None else KeyHolder(key)


class _Attempt:
    """One try to sign in, which counts when it has failed, and then may be one too many.

    Counted before, whoever guesses would keep those out who are right. The answer to one guess too
    many is not sent, so that nothing is learnt of it.
    """

    def __init__(self, send: Send, failures: RateLimit, address: str) -> None:
        self._send = send
        self._failures = failures
        self._address = address
        self._refusal: Problem | None = None

    async def send(self, message: Message) -> None:
        """In the place of ASGI's."""
        if message["type"] == "http.response.start" and _has_failed(message):
            try:
                self._failures.take(self._address)
            except Problem as refusal:
                self._refusal = refusal
        if self._refusal is None:
            await self._send(message)

    def finish(self) -> None:
        """Raises Problem `rate_limited` where that is the answer."""
        if self._refusal is not None:
            raise self._refusal


def _has_failed(start: Message) -> bool:
    """A page answers with a session's cookie, the API with a token; a fault of ours is no try."""
    status, headers = start["status"], Headers(raw=start["headers"])
    if status in (200, 201):
        return False
    return status < 500 and "set-cookie" not in headers


def bearer(headers: Headers) -> str:
    """The secret of `Authorization: Bearer …`. Raises Problem `unauthenticated` without one."""
    scheme, _, secret = headers.get("authorization", "").strip().partition(" ")
    secret = secret.strip()
    if scheme.lower() != "bearer" or not secret or not secret.isascii():
        raise _nobody()
    return secret


def _unknown_key() -> Problem:
    return Problem("unauthenticated", "this key is unknown, expired or revoked", headers=_WRONG_KEY)


def _nobody() -> Problem:
    return Problem(
        "unauthenticated",
        "send an API key: Authorization: Bearer <key>",
        headers=CHALLENGE,
    )


def _is_page(path: str, headers: Headers) -> bool:
    """Whether a browser wants to show the answer to a person, outside the API."""
    return not path.startswith("/v1/") and "text/html" in headers.get("accept", "")


def _asked(scope: Scope) -> str | None:
    """The address asked for, to come back to; None where that was no reading."""
    if scope["method"] not in ("GET", "HEAD"):
        return None
    path = scope.get("raw_path", b"").partition(b"?")[0]
    query = scope.get("query_string", b"")
    return bytes(path + (b"?" + query if query else b"")).decode("latin-1")
