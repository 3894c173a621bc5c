"""Whether the process lives, whether it can serve, and its numbers.

`/livez` asks nobody: restarting the process would not bring a database back. `/readyz` asks every
server at once; without the broker everything is accepted and kept, only later carried out, so
that it counts as degraded and not as unready.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal
from urllib.parse import SplitResult, urlsplit

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from service.domain.problems import Problem
from service.http.authentication import KeyHolder
from service.http.dependencies import ServicesOf
from service.http.documentation import problems
from service.http.metrics import CONTENT_TYPE, Metrics
from service.http.services import Services
from service.ledger import schema, workload

log = logging.getLogger(__name__)
router = APIRouter(tags=["health"])

_BROKER_SECONDS: Final = 2.0
#: Anybody may ask; the servers behind are asked this often at most.
_KEPT_SECONDS: Final = 1.0
_AMQP_HELLO: Final = b"AMQP\x00\x00\x09\x01"
_WITH_TLS: Final = frozenset(("rediss", "amqps"))
_PORTS: Final = {"redis": 6379, "rediss": 6379, "valkey": 6379, "amqp": 5672, "amqps": 5671}


class Alive(BaseModel):
    """The process answers."""

    status: Literal["alive"] = "alive"


class Ready(BaseModel):
    """The service can do its work; `degraded`: jobs are accepted, and start later."""

    status: Literal["ready", "degraded"]
    checks: dict[str, Literal["ok", "away", "stale"]] = Field(
        examples=[{"database": "ok", "schema": "ok", "store": "ok", "broker": "ok"}]
    )


@router.get("/livez", summary="Is the process alive?")
@router.head("/livez", include_in_schema=False)
async def livez() -> Alive:
    """Asks no other server."""
    return Alive()


@router.get("/readyz", summary="Can the service serve?", responses=problems("unavailable"))
@router.head("/readyz", include_in_schema=False)
async def readyz(request: Request, services: ServicesOf) -> Ready:
    """Database, schema revision and object store must be there; the broker may be away."""
    readiness: Readiness = request.app.state.readiness
    checks = await readiness.checks(services)
    bad = {name: state for name, state in checks.items() if state != "ok"}
    if set(bad) <= {"broker"}:
        return Ready(status="degraded" if bad else "ready", checks=checks)
    raise Problem(
        "unavailable",
        "not ready: " + ", ".join(f"{name} is {state}" for name, state in bad.items()),
        headers={"Retry-After": "2"},
        extra={"checks": checks},
    )


@router.get(
    "/metrics",
    summary="Numbers for Prometheus",
    response_class=Response,
    responses={
        200: {"description": "Prometheus' text format.", "content": {"text/plain": {}}},
        **problems("forbidden", "unavailable"),
    },
)
def metrics(request: Request, services: ServicesOf) -> Response:
    """Requests and their durations, jobs by state, live units, the outbox. Needs an
    administrator's key, unless the deployment serves it to everybody.
    """
    caller: KeyHolder | None = getattr(request.state, "caller", None)
    if not services.settings.metrics_public and (caller is None or not caller.is_admin):
        raise Problem("forbidden", "metrics need a key of role admin")
    with services.database.transaction() as session:
        counts = workload.measure(session)
    numbers: Metrics = request.app.state.metrics
    return Response(numbers.exposition(counts), media_type=CONTENT_TYPE)


State = Literal["ok", "away", "stale"]


@dataclass(frozen=True)
class _Seen:
    at: float
    checks: dict[str, State]


class Readiness:
    """Asks the servers, one round at a time, and keeps the answer for a second."""

    def __init__(self) -> None:
        self._round = asyncio.Lock()
        self._seen: _Seen | None = None

    async def checks(self, services: Services) -> dict[str, State]:
        """The state of each server."""
        async with self._round:
            now = time.monotonic()
            if self._seen is None or now - self._seen.at > _KEPT_SECONDS:
                probes = {
                    "database": services.database.ping,
                    "schema": lambda: schema.require_current(services.database),
                    "store": services.store.ping,
                    "broker": lambda: reach_broker(services.settings.broker_url),
                }
                states = await asyncio.gather(
                    *(run_in_threadpool(_state, name, probe) for name, probe in probes.items())
                )
                self._seen = _Seen(time.monotonic(), dict(zip(probes, states, strict=True)))
            return dict(self._seen.checks)


def _state(name: str, probe: Callable[[], Any]) -> State:
    try:
        probe()
    except schema.StaleSchema as error:
        log.warning("%s: %s", name, error)
        return "stale"
    except (Problem, OSError) as error:
        log.warning("%s is away: %s", name, error)
        return "away"
    return "ok"


def reach_broker(url: str) -> None:
    """Asks the broker for an answer, any answer: a frozen one still lets the kernel connect.

    Raises:
        OSError: it cannot be reached, or says nothing.
    """
    parts = urlsplit(url)
    scheme = parts.scheme.partition("+")[0]
    with _connected(parts) as connection:
        connection.settimeout(_BROKER_SECONDS)
        # a refusal for want of a password is an answer as well
        connection.sendall(_AMQP_HELLO if scheme.startswith("amqp") else b"PING\r\n")
        if not connection.recv(1):
            raise ConnectionError("the broker hung up")


def _connected(parts: SplitResult) -> socket.socket:
    if parts.scheme.endswith("+socket") or (not parts.hostname and parts.path):
        local = socket.socket(socket.AF_UNIX)
        try:
            local.settimeout(_BROKER_SECONDS)
            local.connect(parts.path)
        except OSError:
            local.close()
            raise
        return local
    scheme, host = parts.scheme.partition("+")[0], parts.hostname or "127.0.0.1"
    port = parts.port or _PORTS.get(scheme, 5672)
    plain = socket.create_connection((host, port), _BROKER_SECONDS)
    if scheme not in _WITH_TLS:
        return plain
    # nothing secret is said; whether the certificate is right is for those who send hints
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        return context.wrap_socket(plain, server_hostname=host)
    except OSError:
        plain.close()
        raise
