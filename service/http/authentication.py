"""Who asks: a Bearer key, or a person's session, looked up before anything else. Default deny.

Owns the short list of what needs neither, and what a key may do. A route that forgets to ask for
its caller is guarded all the same. What a session's cookie may do beyond reading is
`service.http.crosssite`'s.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from service.domain.problems import Problem
from service.http.cookies import Cookie
from service.http.limits import RateLimit
from service.http.redirects import to_sign_in
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
        entrances: for each address that signs in or opens a shared figure.
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
        cookie: Cookie,
        idle_seconds: int,
        public: frozenset[str] = PUBLIC,
    ) -> None:
        self._app = app
        self._database = database
        self._rate = rate
        self._entrances = entrances
        self._cookie = cookie
        self._idle_seconds = idle_seconds
        self._public = public

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path, headers = scope["path"], Headers(scope=scope)
        if is_public(path, self._public):
            self._bound(scope)
        else:
            holder = await self._caller(headers)
            if holder is None:
                if _is_page(path, headers):
                    await to_sign_in(_asked(scope))(scope, receive, send)
                    return
                raise _nobody()
            scope["state"]["caller"] = holder
            self._rate.take(holder.key.id)
        await self._app(scope, receive, send)

    def _bound(self, scope: Scope) -> None:
        """Counts what somebody without a key asks for, where that is work or a try."""
        path, address = scope["path"], (scope.get("client") or ("nobody",))[0]
        if path in ENTRANCES and (scope["method"] == "POST" or path != "/sign-in"):
            self._entrances.take(address)
        elif path.startswith(SHARED):
            self._rate.take(f"address {address}")

    async def _caller(self, headers: Headers) -> KeyHolder | None:
        """Of the key, if one was sent, and otherwise of the session."""
        if "authorization" in headers:
            return await run_in_threadpool(self._holder, bearer(headers))
        secret = self._cookie.read(headers.get("cookie"))
        return None if secret is None else await run_in_threadpool(self._signed_in, secret)

    def _signed_in(self, secret: str) -> KeyHolder | None:
        with self._database.transaction() as session:
            found = sessions.authenticate(session, secret, idle_seconds=self._idle_seconds)
        if found is None:
            return None
        signed_in, key = found
        return KeyHolder(key, SignedIn.of(signed_in.id, secret))

    def _holder(self, secret: str) -> KeyHolder:
        with self._database.transaction() as session:
            key = keys.authenticate(session, secret)
        if key is None:
            raise Problem(
                "unauthenticated",
                "this key is unknown, expired or revoked",
                headers=_WRONG_KEY,
            )
        return KeyHolder(key)


def bearer(headers: Headers) -> str:
    """The secret of `Authorization: Bearer …`. Raises Problem `unauthenticated` without one."""
    scheme, _, secret = headers.get("authorization", "").strip().partition(" ")
    secret = secret.strip()
    if scheme.lower() != "bearer" or not secret or not secret.isascii():
        raise _nobody()
    return secret


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
