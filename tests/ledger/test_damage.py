"""Damage: tiles are computed again, objects are in quarantine until their bytes come anew."""

from __future__ import annotations

import pytest

from service.ledger import objects, units
from service.ledger.failures import MAX_LOSSES
from service.ledger.records import ClaimedUnit, JobRecord
from tests.ledger.world import World, digest

LOST = {"code": "object_corrupt", "detail": "it cannot be read"}


def to_finalise(world: World, job: JobRecord) -> ClaimedUnit:
    while (claimed := world.claim(prefer_job=job.id)).unit.kind == "tile":
        world.finish_tile(claimed)
    return claimed


def report(world: World, claimed: ClaimedUnit, tiles: list[str]) -> None:
    with world.database.transaction() as session:
        units.report_damaged(session, claimed.unit.id, claimed.unit.attempt, tiles, LOST)


def finished(world: World, job: JobRecord) -> list[str]:
    with world.database.transaction() as session:
        return [tile.id for tile in units.tiles(session, job.id)]


def test_damaged_tiles_are_computed_again_and_finalise_waits(world: World) -> None:
    job = world.planned(points=3)
    claimed = to_finalise(world, job)
    lost = finished(world, job)[:2]
    report(world, claimed, lost)
    assert sorted(world.states(job.id)["tile"]) == ["done", "ready", "ready"]
    assert world.states(job.id)["finalise"] == ["blocked"]
    assert (world.job(job.id).cells_done, world.job(job.id).state) == (1, "running")
    hinted = {row["unit_id"] for row in world.sql("SELECT unit_id FROM outbox")}
    again = {row["id"] for row in world.sql("SELECT id FROM units WHERE state = 'ready'")}
    assert again <= hinted
    # who still holds the old attempt has nothing to say any more
    with pytest.raises(units.StaleAttempt):
        report(world, claimed, lost)
    last = to_finalise(world, job)
    assert last.unit.kind == "finalise"
    assert world.job(job.id).cells_done == 3


def test_only_finished_tiles_of_the_job_are_taken_back(world: World) -> None:
    job, other = world.planned(points=1), world.planned(points=1)
    claimed = to_finalise(world, job)
    to_finalise(world, other)
    with pytest.raises(ValueError, match="none of these"):
        report(world, claimed, finished(world, other))


def test_a_store_that_keeps_nothing_ends_the_job(world: World) -> None:
    job = world.planned(points=1)
    for _ in range(MAX_LOSSES - 1):
        report(world, to_finalise(world, job), finished(world, job))
        assert world.job(job.id).state == "running"
    report(world, to_finalise(world, job), finished(world, job))
    failed = world.job(job.id)
    assert failed.state == "failed"
    assert failed.error is not None
    assert failed.error["code"] == "object_corrupt"


def test_quarantine_ends_when_the_bytes_come_again(world: World) -> None:
    name = world.object()
    with world.database.transaction() as session:
        assert objects.mark_damaged(session, name, "a bit flipped")
        assert not objects.mark_damaged(session, name, "again")
        assert objects.seen(session, name, world.key) is None
    world.object_by(world.key, name)
    with world.database.transaction() as session:
        found = objects.seen(session, name, world.key)
        assert found is not None
        assert found.size == 10
        assert not objects.mark_damaged(session, digest("unknown"), "no such object")
