"""SIGKILL of every kind of process in the middle of a surface: it completes, and nothing doubles.

Each test hurts a running service from outside, as a machine's bad day would, and then holds the
result's bits against those of an undisturbed run.
"""

from __future__ import annotations

import signal
import time
from typing import Any

import numpy as np
import pytest

from tests.chaos.victim import Victim, pid_of
from tests.support import processes
from tests.support.processes import kill, until

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def undisturbed(victim: Victim) -> np.ndarray[Any, Any]:
    """The surface as it comes when nobody interferes."""
    return victim.loss(victim.finish(victim.submit()))


def test_a_killed_worker_costs_the_unit_in_its_hands_only(
    victim: Victim, undisturbed: np.ndarray[Any, Any]
) -> None:
    job = victim.submit()
    tile = victim.tile_in_hand(job)
    kill(pid_of(tile))
    done = victim.finish(job)
    np.testing.assert_array_equal(victim.loss(done), undisturbed)
    victim.require_once(job)
    redone = victim.events(job, "unit_redone")
    assert [e["data"]["unit"] for e in redone] == [tile["unit"]]
    starts = [e["data"]["unit"] for e in victim.events(job, "unit_started")]
    assert {u for u in starts if starts.count(u) > 1} == {tile["unit"]}


def test_a_killed_main_process_takes_its_own_along(
    victim: Victim, undisturbed: np.ndarray[Any, Any]
) -> None:
    job = victim.submit()
    tile = victim.tile_in_hand(job)
    pool = processes.look(pid_of(tile))
    assert pool is not None
    children = processes.descendants(pool.pid)
    assert any(c.runs("workers.child") for c in children)
    kill(pool.parent)
    for process in (pool, *children):
        until(f"{process} to be gone", lambda p=process: processes.look(p.pid) is None, 10.0)
    np.testing.assert_array_equal(victim.loss(victim.finish(job)), undisturbed)
    victim.require_once(job)


def test_a_killed_child_is_replaced(victim: Victim, undisturbed: np.ndarray[Any, Any]) -> None:
    job = victim.submit()
    tile = victim.tile_in_hand(job)
    for child in processes.descendants(pid_of(tile)):
        if child.runs("workers.child"):
            kill(child.pid)
    np.testing.assert_array_equal(victim.loss(victim.finish(job)), undisturbed)
    victim.require_once(job)


def test_a_worker_that_was_only_asleep_is_fenced_out(
    victim: Victim, undisturbed: np.ndarray[Any, Any]
) -> None:
    """Stopped for longer than its lease and woken: its report comes too late and is refused."""
    job = victim.submit()
    tile = victim.tile_in_hand(job)
    sleeper = pid_of(tile)
    kill(sleeper, signal.SIGSTOP)
    try:
        until(
            "the lease to run out",
            lambda: tile["unit"] in [e["data"]["unit"] for e in victim.events(job, "unit_redone")],
            30.0,
        )
    finally:
        kill(sleeper, signal.SIGCONT)
    np.testing.assert_array_equal(victim.loss(victim.finish(job)), undisturbed)
    victim.require_once(job)


def begun(victim: Victim, job: str) -> dict[str, Any] | None:
    """A tile that a worker is at."""
    events = victim.events(job)
    ended = {e["data"]["unit"] for e in events if e["type"] in ("unit_done", "unit_redone")}
    tiles = [e["data"] for e in events if e["type"] == "unit_started"]
    inside = [t for t in tiles if t["kind"] == "tile" and t["unit"] not in ended]
    return inside[-1] if inside else None


def test_a_killed_worker_changes_no_choice_of_adaptive_sampling(victim: Victim) -> None:
    """The cells that were chosen, and all bytes of the result, are those of a quiet run."""
    # dear cells, so that a round lasts long enough to be hit
    sampling = {"mode": "adaptive", "tolerance": 0.03}
    asked: dict[str, Any] = {"num": 121, "precision": "float64", "sampling": sampling}
    quiet = victim.finish(victim.submit(**asked))
    job = victim.submit(**asked)
    tile = until("a tile in hand", lambda: begun(victim, job))
    kill(pid_of(tile))
    done = victim.finish(job)
    results = [victim.read(f"/v1/landscapes/{j['landscape']}") for j in (quiet, done)]
    assert results[0] is not None
    assert results[1] is not None
    assert results[0]["data"] == results[1]["data"]
    assert results[1]["provenance"]["sampling"]["saved"] > 3
    victim.require_once(job)
    redone = [e["data"]["unit"] for e in victim.events(job, "unit_redone")]
    assert redone == [tile["unit"]]
    # no cell was evaluated twice but those in its hands
    starts = [e["data"]["unit"] for e in victim.events(job, "unit_started")]
    assert {u for u in starts if starts.count(u) > 1} == {tile["unit"]}


def attempt_at(victim: Victim, job: str, unit: str, attempt: int) -> dict[str, Any] | None:
    """The attempt's `unit_started`, if it has come to that."""
    mine = [e["data"] for e in victim.events(job, "unit_started")]
    return next((e for e in mine if e["unit"] == unit and e["attempt"] == attempt), None)


def noticed(victim: Victim, job: str, unit: str, attempt: int) -> bool:
    """Whether the end of that attempt is known."""
    ended = victim.events(job, "unit_redone", "unit_released")
    return (unit, attempt) in [(e["data"]["unit"], e["data"].get("attempt")) for e in ended]


def test_a_unit_that_kills_its_child_three_times_is_poison(victim: Victim) -> None:
    job = victim.submit()
    first = victim.tile_in_hand(job)["unit"]
    struck = 0

    def failed() -> dict[str, Any] | None:
        """Strikes each new attempt once. A child that was not warm yet is nobody's death."""
        nonlocal struck
        tile = attempt_at(victim, job, first, struck + 1)
        if tile is not None:
            for child in processes.descendants(pid_of(tile)):
                if child.runs("workers.child"):
                    kill(child.pid)
            struck += 1
        found = victim.read(f"/v1/jobs/{job}")
        return found if found is not None and found["state"] == "failed" else None

    found = until("the job to fail", failed, 150.0)
    assert found["error"]["code"] == "poison"
    assert [e["data"]["deaths"] for e in victim.events(job, "unit_redone")] == [1, 2]
    # and it starves nobody
    assert victim.finish(victim.submit(num=5))["state"] == "succeeded"


def test_three_machines_that_die_are_not_the_units_fault(
    victim: Victim, undisturbed: np.ndarray[Any, Any]
) -> None:
    job = victim.submit()
    first = victim.tile_in_hand(job)["unit"]
    for attempt in (1, 2, 3):
        tile = until(f"attempt {attempt}", lambda a=attempt: attempt_at(victim, job, first, a))
        kill(pid_of(tile))
        until("the loss", lambda a=attempt: noticed(victim, job, first, a))
    np.testing.assert_array_equal(victim.loss(victim.finish(job)), undisturbed)
    victim.require_once(job)
    assert [e["data"]["deaths"] for e in victim.events(job, "unit_redone")] == [0, 0, 0]


@pytest.mark.parametrize(
    "words",
    [("postgres", "-D"), ("weed",), ("valkey-server",), ("-m", "service", "relay")],
    ids=["database", "store", "broker", "relay"],
)
def test_a_killed_server_comes_back_and_nothing_is_lost(
    victim: Victim, undisturbed: np.ndarray[Any, Any], words: tuple[str, ...]
) -> None:
    job = victim.submit()
    victim.tile_in_hand(job)
    found = victim.family(*words)
    assert found, f"no process runs {words}"
    # the one that started the others
    pids = {p.pid for p in found}
    kill(next(p.pid for p in found if p.parent not in pids))
    np.testing.assert_array_equal(victim.loss(victim.finish(job)), undisturbed)
    victim.require_once(job)
    until("the service to be ready", victim.reachable)


def test_the_api_comes_back_and_kept_what_it_accepted(victim: Victim) -> None:
    job = victim.submit(num=9)
    (api,) = victim.family("-m", "service", "api")
    kill(api.pid)
    until("the API to serve again", victim.reachable)
    assert victim.finish(job)["state"] == "succeeded"


def test_a_broker_that_is_away_refuses_nobody(victim: Victim) -> None:
    found = victim.family("valkey-server")
    kill(found[0].pid, signal.SIGSTOP)
    try:
        job = victim.submit(num=5)
    finally:
        kill(found[0].pid, signal.SIGCONT)
    assert victim.finish(job)["state"] == "succeeded"


def test_cancel_takes_effect_inside_a_computation(victim: Victim) -> None:
    job = victim.submit()
    worker = pid_of(victim.tile_in_hand(job))
    computing = [c for c in processes.descendants(worker) if c.runs("workers.child")]
    begun = time.monotonic()
    answer = victim.api.post(f"/v1/jobs/{job}/cancel")
    assert answer.json()["state"] == "cancelled", answer.text
    # one of them is a warm spare and stays
    until(
        "the computing child to be gone",
        lambda: any(processes.look(c.pid) is None for c in computing),
        10.0,
    )
    assert time.monotonic() - begun < 10.0
    # and a retry finds what was finished
    before = {e["data"]["unit"] for e in victim.events(job, "unit_done")}
    victim.api.post(f"/v1/jobs/{job}/retry")
    assert victim.finish(job)["state"] == "succeeded"
    done = [e["data"]["unit"] for e in victim.events(job, "unit_done")]
    assert before <= set(done)
    assert len(done) == len(set(done))


def test_a_worker_told_to_stop_loses_nothing(
    victim: Victim, undisturbed: np.ndarray[Any, Any]
) -> None:
    """SIGTERM: the unit in hand is finished or given back, and no death is counted."""
    job = victim.submit()
    pool = processes.look(pid_of(victim.tile_in_hand(job)))
    assert pool is not None
    kill(pool.parent, signal.SIGTERM)
    until("the worker to be gone", lambda: processes.look(pool.parent) is None, 60.0)
    np.testing.assert_array_equal(victim.loss(victim.finish(job)), undisturbed)
    victim.require_once(job)
    assert victim.events(job, "unit_redone") == []
