"""The outermost layer: names every request, writes its log line, and lets no error out bare.

Owns request ids, the access log and the last resort for exceptions. Bodies and
keys are never logged.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.domain.problems import Problem
from service.http.authentication import SHARED
from service.http.headers import defaults
from service.http.metrics import Metrics
from service.http.problems import internal_error, rendered
from service.ledger.ids import new_id

log = logging.getLogger(__name__)
access = logging.getLogger("service.http.access")

REQUEST_ID: Final = "X-Request-Id"

#: A caller's own id is taken over when it is plain; anything else could write into the log.
_PLAIN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,99}")

#: Who sends too much is answered after a while.
_TOO_MANY: Final = 429
_PAUSE_SECONDS: Final = 1.0
#: As some proxies write it: the caller went away before there was an answer.
_NOBODY_THERE: Final = 499


class Edge:
    """Middleware around everything else.

    Args:
        https: whether people reach the service by it.
    """

    def __init__(self, app: ASGIApp, *, metrics: Metrics, https: bool = False) -> None:
        self._app = app
        self._metrics = metrics
        self._headers = defaults(https=https)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(Headers(scope=scope))
        scope.setdefault("state", {})["request_id"] = request_id
        began = time.perf_counter()
        status = 0

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers[REQUEST_ID] = request_id
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self._app(scope, receive, sending)
        except asyncio.CancelledError:
            if status:
                raise
            # the server cancels what does not end in time when it goes down
            going = Problem(
                "unavailable",
                "the service is restarting; send the request again",
                headers={"Retry-After": "2"},
            )
            await rendered(going, scope)(scope, receive, sending)
        except Exception as error:
            if status:
                raise  # the server cuts the connection: what was sent must not look whole
            if isinstance(error, Problem) and error.kind.status == _TOO_MANY:
                # whoever asks again at once would keep us busy with refusals alone
                await asyncio.sleep(_PAUSE_SECONDS)
            await rendered(_told(error, request_id), scope)(scope, receive, sending)
        finally:
            self._note(scope, request_id, status or _NOBODY_THERE, time.perf_counter() - began)

    def _note(self, scope: Scope, request_id: str, status: int, seconds: float) -> None:
        method = scope["method"]
        route = getattr(scope.get("route"), "path", None) or "unmatched"
        self._metrics.answered(method, route, status, seconds)
        caller = scope["state"].get("caller")
        # as it was sent, percent signs and all: it cannot hold a line break
        path = scope.get("raw_path", b"").decode("ascii", "replace")
        if scope["path"].startswith(SHARED):
            path = f"{SHARED}…"  # the rest is a secret
        access.info(
            "%s %s %d %.0f ms %s",
            method,
            path,
            status,
            1000 * seconds,
            request_id,
            extra={
                "request_id": request_id,
                "method": method,
                "path": path,
                "status": status,
                "seconds": round(seconds, 4),
                "key": None if caller is None else caller.key.id,
            },
        )


def _told(error: Exception, request_id: str) -> Problem:
    """What the caller hears; a fault of ours is told in full to the log alone."""
    if isinstance(error, Problem):
        return error
    log.error("request %s failed", request_id, exc_info=error, extra={"request_id": request_id})
    return internal_error()


def _request_id(headers: Headers) -> str:
    given = headers.get(REQUEST_ID, "")
    return given if _PLAIN.fullmatch(given) else new_id("req")
