"""Which child serves which job, and what becomes of it when a request goes wrong."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from workers.childprocess import ChildDied
from workers.protocol import Done, Ping, Tile
from workers.runner import Asking, Runner, TimedOut, UnitFailed
from workers.sandbox import Confinement, Limits

_PATIENT = Asking(seconds=120.0, check=lambda: None)
_PING = Ping()


@pytest.fixture
def runner() -> Iterator[Runner]:
    made = Runner(limits=Limits(), readable=[], confinement=Confinement(None))
    yield made
    made.close()


def _alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def _pid(runner: Runner) -> int:
    assert runner.pid is not None
    return runner.pid


def test_a_child_serves_one_job_and_is_replaced(runner: Runner) -> None:
    runner.request("job_1", _PING, Done.read, _PATIENT)
    first = _pid(runner)
    runner.request("job_1", _PING, Done.read, _PATIENT)
    assert _pid(runner) == first
    released: list[str] = []
    runner.resources("job_1").callback(released.append, "job_1")
    runner.request("job_2", _PING, Done.read, _PATIENT)
    assert _pid(runner) != first
    assert not _alive(first)
    assert released == ["job_1"]


def test_the_spare_is_used_first(runner: Runner) -> None:
    runner.warm()
    runner.warm()
    runner.request("job_1", _PING, Done.read, _PATIENT)
    first = _pid(runner)
    runner.warm()
    runner.retire()
    assert runner.pid is None
    runner.request("job_2", _PING, Done.read, _PATIENT)
    assert _pid(runner) != first


def test_a_spare_that_died_is_nobodys_fault(runner: Runner) -> None:
    runner.warm()
    runner.request("job_1", _PING, Done.read, _PATIENT)
    runner.warm()
    spare = runner._spare
    assert spare is not None
    os.kill(spare.pid, signal.SIGKILL)
    with contextlib.suppress(ChildDied):
        while spare.poll(5.0) is None:
            pass
    runner.retire()
    runner.request("job_2", _PING, Done.read, _PATIENT)


def test_giving_up_kills_the_child(runner: Runner) -> None:
    runner.request("job_1", _PING, Done.read, _PATIENT)
    pid = _pid(runner)
    os.kill(pid, signal.SIGSTOP)

    class GaveUp(Exception):
        pass

    def check() -> None:
        raise GaveUp

    with pytest.raises(GaveUp):
        runner.request("job_1", _PING, Done.read, Asking(60.0, check))
    assert not _alive(pid)
    runner.request("job_1", _PING, Done.read, _PATIENT)


def test_a_request_beyond_its_limit_is_killed(runner: Runner) -> None:
    runner.request("job_1", _PING, Done.read, _PATIENT)
    pid = _pid(runner)
    os.kill(pid, signal.SIGSTOP)
    with pytest.raises(TimedOut, match=r"0\.5 seconds"):
        runner.request("job_1", _PING, Done.read, Asking(0.5, lambda: None))
    assert not _alive(pid)


def test_a_death_in_the_middle_is_told_and_the_next_request_has_a_new_child(
    runner: Runner,
) -> None:
    runner.request("job_1", _PING, Done.read, _PATIENT)
    pid = _pid(runner)

    def kill_once() -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    os.kill(pid, signal.SIGSTOP)
    with pytest.raises(ChildDied, match="SIGKILL"):
        runner.request("job_1", _PING, Done.read, Asking(60.0, kill_once))
    runner.request("job_1", _PING, Done.read, _PATIENT)
    assert _pid(runner) != pid


def test_a_refusal_leaves_the_child_in_use(runner: Runner) -> None:
    runner.request("job_1", _PING, Done.read, _PATIENT)
    pid = _pid(runner)
    with pytest.raises(UnitFailed) as failure:
        runner.request("job_1", Tile(indices=(), points=(), batch_size=1), Done.read, _PATIENT)
    assert failure.value.problem["code"] == "computation_failed"
    assert not failure.value.retry
    assert _pid(runner) == pid
