"""Servers that neither answer nor refuse (SIGSTOP): nothing waits for them for ever.

The kernel goes on acknowledging for a frozen process, so only the client's own limits help.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator

import pytest

from tests.chaos.victim import Victim, pid_of
from tests.support.processes import Process, kill, until

pytestmark = pytest.mark.server

#: What the API may take to give up on a database: ten seconds, and those of connecting anew.
ANSWER_SECONDS = 30.0


@contextlib.contextmanager
def frozen(processes: list[Process]) -> Iterator[None]:
    assert processes
    for process in processes:
        kill(process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for process in processes:
            kill(process.pid, signal.SIGCONT)


def test_reads_end_while_the_database_is_frozen(victim: Victim) -> None:
    job = victim.submit(num=3)
    assert victim.finish(job)["state"] == "succeeded"
    with frozen(victim.family("postgres")):
        assert victim.api.http.get("/livez", timeout=2.0).status_code == 200
        for path in (f"/v1/jobs/{job}", "/v1/landscapes", "/readyz"):
            answer = victim.api.http.get(path, timeout=ANSWER_SECONDS)
            assert answer.status_code == 503, (path, answer.text)
            assert answer.json()["code"] == "unavailable"
            assert answer.headers["Retry-After"]
    until("the service to be ready", victim.reachable)
    assert victim.finish(victim.submit(num=3))["state"] == "succeeded"


def test_a_frozen_broker_is_told_and_keeps_no_dead_workers_unit(victim: Victim) -> None:
    """The reaper does not wait behind hints that nobody takes."""
    job = victim.submit()
    tile = victim.tile_in_hand(job)
    with frozen(victim.family("valkey-server")):
        kill(pid_of(tile))

        def taken_back() -> bool:
            redone = victim.events(job, "unit_redone")
            return tile["unit"] in [e["data"]["unit"] for e in redone]

        until("the lost unit to be taken back", taken_back)
        ready = victim.api.http.get("/readyz", timeout=10.0)
        assert ready.json()["checks"]["broker"] == "away", ready.text
        assert ready.json()["status"] == "degraded"
    assert victim.finish(job)["state"] == "succeeded"
    victim.require_once(job)


def test_a_frozen_store_refuses_reads_and_loses_nothing(victim: Victim) -> None:
    job = victim.submit()
    victim.tile_in_hand(job)
    with frozen(victim.family("weed")):
        assert victim.api.http.get("/livez", timeout=2.0).status_code == 200
        answer = victim.api.http.get("/readyz", timeout=ANSWER_SECONDS)
        assert answer.json()["checks"]["store"] == "away", answer.text
    assert victim.finish(job)["state"] == "succeeded"
    victim.require_once(job)
