"""A job that an earlier release planned under other definitions is planned anew, and wholly."""

from __future__ import annotations

import pytest

from service.domain.definitions import DEFINITIONS
from service.ledger import units
from service.ledger.records import ClaimedUnit
from tests.ledger.world import World


def replan(world: World, claimed: ClaimedUnit) -> None:
    with world.database.transaction() as session:
        units.report_replanned(
            session, claimed.unit.id, claimed.unit.attempt, definitions=DEFINITIONS
        )


def test_the_plan_and_all_tiles_go_and_the_job_is_prepared_again(world: World) -> None:
    job = world.submit(world.model(), cells_total=4)
    world.prepare(world.claim(prefer_job=job.id))
    world.finish_tile(world.claim(prefer_job=job.id))
    elsewhere = world.claim("w2", prefer_job=job.id)
    replan(world, world.claim(prefer_job=job.id))
    job = world.job(job.id)
    assert (job.state, job.phase, job.plan, job.cells_done) == ("running", "prepare", None, 0)
    assert world.states(job.id)["prepare"] == ["ready"]
    assert "tile" not in world.states(job.id)
    assert "replanned" in world.events(job.id)
    # the other worker's tile is of the plan that is gone
    with world.database.transaction() as session:
        assert (
            units.beat(
                session,
                elsewhere.unit.id,
                elsewhere.unit.attempt,
                cells_done=1,
                lease_seconds=60,
            )
            == "stale"
        )
    with pytest.raises(units.StaleAttempt):
        world.finish_tile(elsewhere)
    world.prepare(world.claim(prefer_job=job.id))
    for _ in range(4):
        world.finish_tile(world.claim(prefer_job=job.id))
    world.finalise(world.claim(prefer_job=job.id))
    assert world.job(job.id).state == "succeeded"
    with world.database.transaction() as session:
        assert len(units.tiles(session, job.id)) == 4


def test_a_job_that_waits_for_its_last_step_alone_is_planned_anew_too(world: World) -> None:
    job = world.submit(world.model(), cells_total=4)
    world.prepare(world.claim(prefer_job=job.id))
    for _ in range(4):
        world.finish_tile(world.claim(prefer_job=job.id))
    claimed = world.claim(prefer_job=job.id)
    assert claimed.unit.kind == "finalise"
    replan(world, claimed)
    assert world.claim(prefer_job=job.id).unit.kind == "prepare"


def test_what_another_attempt_holds_is_not_dropped(world: World) -> None:
    job = world.submit(world.model(), cells_total=4)
    world.prepare(world.claim(prefer_job=job.id))
    claimed = world.claim(prefer_job=job.id)
    with world.database.transaction() as session:
        units.release(session, claimed.unit.id, claimed.unit.attempt)
    with pytest.raises(units.StaleAttempt):
        replan(world, claimed)
    assert world.job(job.id).plan is not None
