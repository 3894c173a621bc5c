"""Rounds of adaptive sampling in the ledger: a finalise unit that wants more cells first."""

from __future__ import annotations

import pytest

from service.domain.plan import SamplingPlan, SamplingRound
from service.ledger import jobs, units
from service.ledger.records import ClaimedUnit, JobRecord
from tests.ledger.world import World, digest
from tests.support.ledger import units_of

FIRST = SamplingRound(object=digest("round 0"), cells=4, tile_cells=2)
SECOND = SamplingRound(object=digest("round 1"), cells=3, tile_cells=2)


def sampled(world: World) -> JobRecord:
    """An adaptive job on a line of 20 cells, of which a first round of four is planned."""
    job = world.submit(world.model(), cells_total=20)
    claimed = world.claim(prefer_job=job.id)
    sampling = SamplingPlan(tolerance=0.03, audit=0.05, seed=1, rounds=(FIRST,))
    plan = world.plan(claimed, points=20, tile_cells=2).model_copy(update={"sampling": sampling})
    with world.database.transaction() as session:
        units.report_prepared(session, claimed.unit.id, claimed.unit.attempt, plan=plan)
    return world.job(job.id)


def to_finalise(world: World, job: JobRecord, tiles: int) -> ClaimedUnit:
    for _ in range(tiles):
        world.finish_tile(world.claim(prefer_job=job.id))
    claimed = world.claim(prefer_job=job.id)
    assert claimed.unit.kind == "finalise"
    return claimed


def refine(world: World, claimed: ClaimedUnit) -> None:
    with world.database.transaction() as session:
        units.report_refined(
            session, claimed.unit.id, claimed.unit.attempt, planned=SECOND, size=99
        )


def test_only_the_first_round_is_laid_out(world: World) -> None:
    job = sampled(world)
    assert (job.cells_total, job.cells_done) == (4, 0)
    assert world.states(job.id)["tile"] == ["ready"] * 2
    assert world.linked(FIRST.object) == {job.project}


def test_a_round_joins_the_plan_and_its_tiles_follow_the_others(world: World) -> None:
    job = sampled(world)
    refine(world, to_finalise(world, job, tiles=2))
    job = world.job(job.id)
    assert (job.state, job.phase) == ("running", "tile")
    assert (job.cells_total, job.cells_done) == (7, 4)
    assert job.plan is not None
    assert [r["object"] for r in job.plan["sampling"]["rounds"]] == [FIRST.object, SECOND.object]
    with world.database.transaction() as session:
        tiles = [u for u in units_of(session, job.id) if u.kind == "tile"]
    assert world.linked(SECOND.object) == {job.project}
    assert [(t.seq, t.start, t.stop) for t in tiles] == [
        (0, 0, 2),
        (1, 2, 4),
        (2, 4, 6),
        (3, 6, 7),
    ]
    assert world.states(job.id)["finalise"] == ["done", "blocked"]
    assert "refined" in world.events(job.id)
    hinted = {row["unit_id"] for row in world.sql("SELECT unit_id FROM outbox")}
    assert {t.id for t in tiles[2:]} <= hinted
    world.finalise(to_finalise(world, job, tiles=2))
    assert world.job(job.id).state == "succeeded"
    assert world.states(job.id)["finalise"] == ["done", "done"]


def test_a_round_is_reported_once(world: World) -> None:
    job = sampled(world)
    claimed = to_finalise(world, job, tiles=2)
    refine(world, claimed)
    with pytest.raises(units.StaleAttempt):
        refine(world, claimed)
    assert world.job(job.id).cells_total == 7
    assert len(world.states(job.id)["tile"]) == 4


def test_a_round_counts_no_death_and_a_death_adds_no_round(world: World) -> None:
    job = sampled(world)
    claimed = to_finalise(world, job, tiles=2)
    problem = {"code": "internal_error", "detail": "the worker went away"}
    with world.database.transaction() as session:
        units.report_failed(session, claimed.unit.id, 1, problem, retry=True)
    world.settle()
    again = world.claim(prefer_job=job.id)
    assert (again.unit.id, again.unit.deaths) == (claimed.unit.id, 1)
    refine(world, again)
    last = to_finalise(world, job, tiles=2)
    assert (last.unit.deaths, last.unit.seq) == (0, 1)


def test_a_job_stopped_between_rounds_goes_on_where_it_was(world: World) -> None:
    job = sampled(world)
    refine(world, to_finalise(world, job, tiles=2))
    world.finish_tile(world.claim(prefer_job=job.id))
    with world.database.transaction() as session:
        jobs.cancel(session, job.id)
    assert world.states(job.id)["tile"] == ["done", "done", "done", "cancelled"]
    with world.database.transaction() as session:
        jobs.retry(session, job.id)
    assert world.states(job.id)["finalise"] == ["done", "blocked"]
    world.finalise(to_finalise(world, job, tiles=1))
    assert world.job(job.id).state == "succeeded"


def test_an_exact_job_is_not_refined(world: World) -> None:
    job = world.planned(points=2)
    claimed = to_finalise(world, job, tiles=2)
    with pytest.raises(ValueError, match="no adaptive sampling"):
        refine(world, claimed)
    assert world.states(job.id)["finalise"] == ["leased"]
