"""Connections: how many there may be, and how slow.

A connection that half a request has come on, or whose answer is not fetched, costs its caller
nothing and us memory, a thread or a place. Owns the deadlines of heads, the least rates of bodies
and answers, and the bounds on connections; never looks at what a request asks for.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any, Final

import h11
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from service.domain.problems import Problem
from service.http.framing import StrictConnection
from service.http.proxies import Proxies, bucket_of
from service.ledger.ids import new_id

log = logging.getLogger(__name__)

#: How long what is still on the way behind a request that was refused is taken, and dropped.
REFUSED_SECONDS: Final = 5.0


@dataclass(frozen=True)
class Bounds:
    """What connections may cost.

    Attributes:
        head_seconds: from a request's first byte, or from the connection, to the end of its head.
        bytes_per_second: the least that a body comes at, and an answer is fetched at.
        slow_seconds: what rates are looked at over: a shorter pause is nobody's fault.
        most: connections of all callers.
        most_of_address: connections of one address that is no proxy.
    """

    head_seconds: float
    bytes_per_second: float
    slow_seconds: float
    most: int
    most_of_address: int


class Connections(ServerState):
    """All connections of a server, and what they are held to. For one event loop."""

    def __init__(self, bounds: Bounds, proxies: Proxies) -> None:
        super().__init__()
        self.bounds = bounds
        self._proxies = proxies
        self._of: dict[Connection, str] = {}
        self._count: Counter[str] = Counter()

    def admit(self, one: Connection, peer: str) -> bool:
        """Whether it may stay. Another, that nobody has asked anything on, may have to go for it:
        those who do not finish a request keep nobody out.
        """
        address = "a proxy" if self._proxies.trusts(peer) else bucket_of(peer)
        if (
            address != "a proxy"
            and self._count[address] >= self.bounds.most_of_address
            and not self._make_room(address)
        ):
            return False
        if len(self._of) >= self.bounds.most:
            crowd = self._count.most_common(1)[0][0]
            if not self._make_room(crowd):
                return False
        self._of[one] = address
        self._count[address] += 1
        return True

    def leave(self, one: Connection) -> None:
        """It is no more."""
        address = self._of.pop(one, None)
        if address is not None:
            self._count[address] -= 1
            if not self._count[address]:
                del self._count[address]

    def look(self) -> None:
        """Ends those that are too slow. To be called every second or so."""
        now = time.monotonic()
        for one in list(self._of):
            one.look(now)

    def _make_room(self, address: str) -> bool:
        """Ends the oldest connection of an address that waits for a request, if there is one."""
        waiting = [one for one, of in self._of.items() if of == address and one.awaits_request]
        if not waiting:
            return False
        # half a head before an idle connection, which an honest caller may come back to
        oldest = min(waiting, key=lambda one: (one.head_since is None, one.since))
        oldest.transport.abort()
        self.leave(oldest)
        return True


class _Pace:
    """Whether something goes on at a rate, over windows of time."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._since: float | None = None
        self._done = 0

    def rest(self) -> None:
        """Nothing is expected."""
        self._since = None

    def is_slow(self, now: float, done: int) -> bool:
        """Whether too few bytes were done in the window that ends now."""
        if self._since is None:
            self._since, self._done = now, done
            return False
        seconds = now - self._since
        if seconds < self._bounds.slow_seconds:
            return False
        slow = done - self._done < self._bounds.bytes_per_second * seconds
        self._since, self._done = now, done
        return slow


class _Counted:
    """A transport that knows how much was written to it."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self.written = 0

    def write(self, data: bytes) -> None:
        self.written += len(data)
        self._transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class Connection(H11Protocol):
    """uvicorn's, with bounds."""

    conn: StrictConnection

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        assert isinstance(server_state, Connections)  # noqa: S101 (`Server` makes it)
        self.conn = StrictConnection()
        self._all = server_state
        self.since = time.monotonic()
        self.head_since: float | None = self.since
        self._answered_at: float | None = None
        self._refused_at: float | None = None
        self._received = 0
        self._incoming, self._outgoing = _Pace(server_state.bounds), _Pace(server_state.bounds)

    @property
    def awaits_request(self) -> bool:
        """Whether nothing is being done for it."""
        idle = self.conn.our_state is h11.IDLE and self.conn.their_state is h11.IDLE
        return idle or self._refused_at is not None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(_Counted(transport))  # type: ignore[arg-type]
        if not self._all.admit(self, self.client[0] if self.client else "nobody"):
            self._refuse(
                Problem(
                    "too_many_at_once",
                    "there are too many connections; close some, or use them again",
                    headers={"Retry-After": "5"},
                )
            )

    def connection_lost(self, exc: Exception | None) -> None:
        self._all.leave(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing() or self._refused_at is not None:
            return
        self._received += len(data)
        if self.awaits_request and self.head_since is None:
            self.head_since = time.monotonic()
        super().data_received(data)
        if not self.awaits_request:
            self.head_since = None

    def look(self, now: float) -> None:
        """Ends the connection if it is too slow."""
        unfetched = self.transport.get_write_buffer_size()
        if not unfetched:
            self._outgoing.rest()
        elif self._outgoing.is_slow(now, self._written - unfetched):
            self.transport.abort()
            return
        if self._refused_at is not None:
            if now - self._refused_at >= REFUSED_SECONDS:
                self.transport.abort()
        elif self.transport.is_closing():
            pass  # waiting for the caller to fetch the rest
        elif self.awaits_request:
            self._look_at_head(now)
        elif self.conn.their_state is h11.SEND_BODY:
            self._look_at_body(now)
        else:
            self._incoming.rest()
            self._answered_at = None

    def _look_at_head(self, now: float) -> None:
        self._incoming.rest()
        self._answered_at = None
        if self.head_since is None or now - self.head_since < self._all.bounds.head_seconds:
            return
        if self._received:
            self._refuse(_late("the head of the request did not come"))
        else:
            self.transport.abort()

    def _look_at_body(self, now: float) -> None:
        if self.conn.our_state is not h11.SEND_RESPONSE:
            # answered before its end: what is still on the way is taken, for a while
            self._answered_at = self._answered_at or now
            if now - self._answered_at >= self._all.bounds.slow_seconds:
                self.transport.abort()
            return
        self._answered_at = None
        if self.flow.read_paused or self.conn.they_are_waiting_for_100_continue:
            self._incoming.rest()  # it waits for us
            return
        if self._incoming.is_slow(now, self._received):
            least = self._all.bounds.bytes_per_second
            self._refuse(
                _late(f"the body came at less than {least:g} bytes a second; nothing was kept")
            )

    @property
    def _written(self) -> int:
        return int(self.transport.written)  # type: ignore[attr-defined]

    def shutdown(self) -> None:
        if self._refused_at is None:
            super().shutdown()
        else:
            self.transport.abort()

    def _should_upgrade(self) -> bool:
        return False  # nothing else is spoken here, and the wish may be ignored

    def send_400_response(self, msg: str) -> None:
        error = self.conn.refusal
        hint = 400 if error is None else error.error_status_hint
        code = "head_too_large" if hint == 431 else "malformed_request"
        self._refuse(Problem(code, f"this is no HTTP that is read here: {str(error)[:200] or msg}"))

    def _refuse(self, problem: Problem) -> None:
        """Tells of the problem, where there was no answer yet, and takes nothing more."""
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.abort()
            return
        request_id = new_id("req")
        log.info("refused %s: %s", request_id, problem.detail, extra={"request_id": request_id})
        body = json.dumps(problem.to_json(request_id)).encode()
        headers = {
            "Content-Type": "application/problem+json",
            "Content-Length": str(len(body)),
            "Cache-Control": "no-store",
            "X-Request-Id": request_id,
            **problem.headers,
            "Connection": "close",
        }
        answer = h11.Response(status_code=problem.kind.status, headers=list(headers.items()))
        for event in (answer, h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        # closed at once, the kernel would drop the answer if more is on the way
        self.transport.write_eof()
        self._refused_at = time.monotonic()


def _late(why: str) -> Problem:
    return Problem("request_timeout", f"{why} in time", headers={"Retry-After": "1"})
