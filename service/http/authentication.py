"""Who asks: a Bearer key looked up before anything else happens. Default deny.

Owns the short list of what needs no key, and what a key may do. A route that forgets to ask for
its caller is guarded all the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from service.domain.problems import Problem
from service.http.limits import RateLimit
from service.ledger import keys
from service.ledger.records import KeyRecord
from service.ledger.session import Database

#: What anybody may read: whether the service is there, and how to speak to it.
PUBLIC: Final = frozenset({"/livez", "/readyz", "/docs", "/openapi.json"})
METRICS: Final = "/metrics"

_CHALLENGE: Final = {"WWW-Authenticate": 'Bearer realm="lossatlas"'}
_WRONG_KEY: Final = {"WWW-Authenticate": 'Bearer realm="lossatlas", error="invalid_token"'}


@dataclass(frozen=True)
class KeyHolder:
    """The caller: a valid key, and what it may do.

    Attributes:
        key: its row.
    """

    key: KeyRecord

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

    Args:
        public: paths that need no key.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        database: Database,
        rate: RateLimit,
        public: frozenset[str] = PUBLIC,
    ) -> None:
        self._app = app
        self._database = database
        self._rate = rate
        self._public = public

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in self._public:
            secret = bearer(Headers(scope=scope))
            holder = await run_in_threadpool(self._holder, secret)
            scope["state"]["caller"] = holder
            self._rate.take(holder.key.id)
        await self._app(scope, receive, send)

    def _holder(self, secret: str) -> KeyHolder:
        with self._database.transaction() as session:
            key = keys.authenticate(session, secret)
        if key is None:
            raise Problem(
                "unauthenticated",
                "this key is unknown, expired or revoked",
                headers={
                    "WWW-Authenticate": _CHALLENGE["WWW-Authenticate"] + ', error="invalid_token"'
                },
            )
        return KeyHolder(key)


def bearer(headers: Headers) -> str:
    """The secret of `Authorization: Bearer …`. Raises Problem `unauthenticated` without one."""
    scheme, _, secret = headers.get("authorization", "").strip().partition(" ")
    secret = secret.strip()
    if scheme.lower() != "bearer" or not secret or not secret.isascii():
        raise Problem(
            "unauthenticated",
            "send an API key: Authorization: Bearer <key>",
            headers=_CHALLENGE,
        )
    return secret
