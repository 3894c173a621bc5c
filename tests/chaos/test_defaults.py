"""The promise about killed workers at the settings that everybody has."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.chaos.victim import Victim, pid_of
from tests.support.live import Live
from tests.support.processes import kill, until

pytestmark = pytest.mark.server

PROMISED_SECONDS = 90.0


@pytest.fixture
def defaults(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Victim]:
    live = Live(
        tmp_path_factory.mktemp("defaults") / "data",
        workers=2,
        env={"LOSSATLAS_TILE_SECONDS": "1"},
    )
    try:
        yield Victim.start(live)
        live.stop()
    finally:
        live.kill()


def test_a_killed_workers_job_resumes_within_ninety_seconds(defaults: Victim) -> None:
    job = defaults.submit()
    tile = defaults.tile_in_hand(job)
    killed = time.monotonic()
    kill(pid_of(tile))

    def taken_up_again() -> bool:
        return any(
            e["data"]["unit"] == tile["unit"] and e["data"]["attempt"] > tile["attempt"]
            for e in defaults.events(job, "unit_started")
        )

    until("the lost unit to be taken up again", taken_up_again, PROMISED_SECONDS)
    assert time.monotonic() - killed < PROMISED_SECONDS
    assert defaults.finish(job)["state"] == "succeeded"
    defaults.require_once(job)
    redone = defaults.events(job, "unit_redone")
    assert [e["data"]["unit"] for e in redone] == [tile["unit"]]
