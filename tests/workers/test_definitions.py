"""A worker whose definitions are not those of a job's plan, or of a direction's tensors."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from service.domain.definitions import DEFINITIONS, FIRST, direction_digest
from service.domain.digests import digest_json
from service.ledger.records import JobRecord
from service.ledger.session import Database
from tests.ledger.world import World
from workers.assignment import Assignment
from workers.cache import ObjectCache
from workers.fitness import Fitness
from workers.runner import Runner
from workers.shutdown import ShutdownFlag
from workers.steps import prepare
from workers.supervisor import Supervisor
from workers.tools import InHand, Options, Tools

OPTIONS = Options(
    device="cpu",
    threads=1,
    tile_seconds=1.0,
    unit_seconds=60.0,
    ingest_seconds=60.0,
    program_memory_bytes=1 << 20,
    lease_seconds=60,
    beat_seconds=60.0,
    shutdown_seconds=60.0,
    curvature_memory_bytes=1 << 20,
)


class Idle:
    """A runner whose child is never asked; its worker stops after one unit."""

    def __init__(self, shutdown: ShutdownFlag) -> None:
        self.shutdown = shutdown

    def warm(self) -> None:
        self.shutdown.set()

    def retire(self) -> None:
        self.shutdown.set()

    def serves(self, job: str) -> bool:
        raise AssertionError(f"the child was asked for {job}")


def one_unit(database: Database, job: JobRecord, folder: Path) -> int:
    shutdown = ShutdownFlag()
    cache = ObjectCache(folder / "cache", limit_bytes=0, fetch=lambda *_: None)
    runner = cast(Runner, Idle(shutdown))
    tools = Tools(
        database=database,
        store=cast(Any, None),
        cache=cache,
        runner=runner,
        shutdown=shutdown,
        fitness=Fitness(cache=cache, runner=runner, ping=lambda: None, room_bytes=0),
        options=OPTIONS,
        worker="w1",
    )
    return Supervisor(tools).drain(job.id)


@pytest.mark.parametrize("kind", ["tile", "finalise"])
def test_a_job_planned_under_other_definitions_is_planned_anew(
    database: Database, world: World, kind: str, tmp_path: Path
) -> None:
    job = world.planned(tile_cells=4)
    assert job.plan is not None
    assert job.plan["definitions"] == FIRST
    if kind == "finalise":
        world.finish_tile(world.claim(prefer_job=job.id))
    assert one_unit(database, job, tmp_path) == 1
    now = world.job(job.id)
    assert (now.state, now.phase, now.plan, now.cells_done) == ("running", "prepare", None, 0)
    claimed = world.claim(prefer_job=job.id)
    assert claimed.unit.kind == "prepare"


def asked_of_the_child(world: World, digest: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What the child is told of a direction that has tensors and was recorded under this name."""
    job = world.submit(world.model())
    world.sql(
        "UPDATE directions SET object = :object, norm = 1, spec_digest = :digest"
        " WHERE id = :id RETURNING id",
        object=world.object(),
        digest=digest,
        id=job.directions["x"],
    )
    monkeypatch.setattr(InHand, "fetched", lambda _hand, found: f"/cache/{found}")
    hand = InHand(cast(Any, None), Assignment(world.claim(prefer_job=job.id)), cast(Any, None))
    return prepare._direction(hand, "x").model_dump()


def test_tensors_of_then_are_made_anew_and_those_of_today_are_used(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = {"kind": "random", "seed": 1, "axis": "x"}
    then = asked_of_the_child(world, digest_json(spec), monkeypatch)
    assert then["spec"] == spec
    today = asked_of_the_child(world, direction_digest(spec), monkeypatch)
    assert today.keys() == {"materialised"}
    assert DEFINITIONS != FIRST
