"""Claims: each unit once, fairly, fenced; from many real connections at the same time."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from service.ledger import claims, jobs, units
from service.ledger.records import ClaimedUnit
from service.ledger.units import StaleAttempt
from tests.ledger.world import PROBLEM, World, digest
from tests.support.ledger import unit_of


def together(count: int, work: Callable[[int], object]) -> None:
    """Runs `work(0…count-1)` in threads that start at the same moment; raises their errors."""
    barrier = threading.Barrier(count, timeout=30)

    def begin(number: int) -> None:
        barrier.wait()
        work(number)

    with ThreadPoolExecutor(count) as pool:
        for done in [pool.submit(begin, number) for number in range(count)]:
            done.result(timeout=120)


def test_eight_workers_take_two_hundred_units_each_exactly_once(world: World) -> None:
    job = world.planned(points=200)
    taken: list[ClaimedUnit] = []

    def work(number: int) -> None:
        while (claimed := world.try_claim(f"w{number}", prefer_job=job.id)) is not None:
            if claimed.unit.kind != "tile":
                # another one has just finished the last tile
                with world.database.transaction() as session:
                    units.release(session, claimed.unit.id, claimed.unit.attempt)
                return
            taken.append(claimed)
            world.finish_tile(claimed)
            if world.job(job.id).phase != "tile":
                return

    together(8, work)
    tiles = Counter(c.unit.id for c in taken if c.unit.kind == "tile")
    assert len(tiles) == 200
    assert set(tiles.values()) == {1}
    assert all(c.unit.attempt == 1 for c in taken)
    assert world.job(job.id).cells_done == 200
    # two workers at least had a share, or nothing was concurrent
    assert len({c.unit.worker for c in taken}) > 1
    assert world.states(job.id)["finalise"] == ["ready"]
    world.finalise(world.claim())


def test_nobody_goes_away_empty_while_a_unit_is_ready(world: World) -> None:
    job = world.planned(points=8)
    found: list[ClaimedUnit | None] = []
    together(8, lambda n: found.append(world.try_claim(f"w{n}", prefer_job=job.id)))
    assert len({c.unit.id for c in found if c is not None}) == 8


def test_units_of_a_job_are_claimed_from_coarse_to_fine(world: World) -> None:
    world.planned(points=5)
    starts = [world.claim().unit.start for _ in range(5)]
    assert starts == [0, 1, 2, 3, 4]


def test_projects_share_the_workers(world: World) -> None:
    """However many units one project has queued first, the other gets every second claim."""
    first = world.planned(world.model("alpha"), points=20)
    second = world.planned(world.model("beta"), points=20)
    owners = [world.claim(f"w{n}").job.id for n in range(10)]
    assert Counter(owners) == {first.id: 5, second.id: 5}


def test_fair_shares_hold_under_concurrent_claims(world: World) -> None:
    world.planned(world.model("alpha"), points=40)
    world.planned(world.model("beta"), points=40)
    together(8, lambda n: [world.claim(f"w{n}.{i}") for i in range(5)])
    held = Counter(
        row["project"] for row in world.sql("SELECT project FROM units WHERE state = 'leased'")
    )
    assert sum(held.values()) == 40
    # claims that run at the same moment do not see each other: at most 8 apart
    assert abs(held["alpha"] - held["beta"]) <= 8


def test_priority_goes_before_age_within_a_project(world: World) -> None:
    model = world.model()
    old = world.submit(model)
    urgent = world.submit(model, priority=5)
    assert world.claim().job.id == urgent.id
    assert world.claim().job.id == old.id


def test_age_decides_among_equals(world: World) -> None:
    model = world.model()
    submitted = [world.submit(model).id for _ in range(3)]
    assert [world.claim().job.id for _ in range(3)] == submitted


def test_a_worker_stays_with_its_job(world: World) -> None:
    model = world.model()
    world.submit(model, priority=10)
    mine = world.submit(model)
    assert world.claim(prefer_job=mine.id).job.id == mine.id


def test_a_worker_leaves_its_job_for_a_project_that_nobody_serves(world: World) -> None:
    """One worker and one endless job must not starve everybody else."""
    mine = world.planned(world.model("alpha"), points=4)
    other = world.submit(world.model("beta"))
    assert world.claim(prefer_job=mine.id).job.id == mine.id

    world.sql(
        "UPDATE units SET ready_at = now() - make_interval(secs => :patience) WHERE job_id = :id",
        patience=claims.PATIENCE_SECONDS + 1,
        id=other.id,
    )
    assert world.claim(prefer_job=mine.id).job.id == other.id
    # it is served now, so the next one stays
    assert world.claim(prefer_job=mine.id).job.id == mine.id


def test_an_unknown_preference_is_no_obstacle(world: World) -> None:
    job = world.submit(world.model())
    assert world.claim(prefer_job="job_nowhere").job.id == job.id


def test_there_may_be_nothing_to_claim(world: World) -> None:
    assert world.try_claim() is None
    world.submit(world.model())
    world.claim()
    assert world.try_claim() is None


def test_a_claim_sets_lease_worker_and_attempt_by_the_databases_clock(world: World) -> None:
    world.submit(world.model())
    claimed = world.claim("gpu7", lease=60)
    row = world.sql(
        "SELECT extract(epoch FROM lease_until - now()) AS left FROM units WHERE id = :id",
        id=claimed.unit.id,
    )[0]
    assert 55 < row["left"] <= 60
    assert (claimed.unit.worker, claimed.unit.attempt) == ("gpu7", 1)


def test_a_claim_does_not_wait_for_a_locked_job(world: World) -> None:
    """Whoever holds a job's row (a cancel, a report) may hold it long; claiming goes on."""
    job = world.planned(points=3)
    with world.database.transaction() as session:
        jobs.lock(session, job.id)
        before = time.monotonic()
        assert world.claim(prefer_job=job.id).job.id == job.id
        assert time.monotonic() - before < 5


def test_a_job_whose_row_was_locked_at_the_claim_is_started_by_the_report(world: World) -> None:

    job = world.submit(world.model())
    with world.database.transaction() as session:
        jobs.lock(session, job.id)
        claimed = world.claim()
    assert world.job(job.id).state == "queued"
    world.prepare(claimed)
    assert world.job(job.id).state == "running"
    assert "started" in world.events(job.id)


def test_a_beat_prolongs_the_lease_and_tells_progress(world: World) -> None:
    world.planned(points=4, tile_cells=1)
    claimed = world.claim(lease=1)
    with world.database.transaction() as session:
        assert (
            units.beat(
                session, claimed.unit.id, claimed.unit.attempt, cells_done=1, lease_seconds=60
            )
            == "ok"
        )
        unit = unit_of(session, claimed.unit.id)
    assert unit is not None
    assert unit.cells_done == 1
    assert unit.lease_until is not None
    assert claimed.unit.lease_until is not None
    assert (unit.lease_until - claimed.unit.lease_until).total_seconds() > 50


def test_a_beat_cannot_claim_more_cells_than_the_tile_has(world: World) -> None:
    world.planned(points=4)
    claimed = world.claim()
    for said, kept in ((99, 1), (0, 1)):
        with world.database.transaction() as session:
            units.beat(session, claimed.unit.id, 1, cells_done=said, lease_seconds=60)
            unit = unit_of(session, claimed.unit.id)
        assert unit is not None
        assert unit.cells_done == kept


def test_a_beat_of_a_stale_attempt_is_told_so(world: World) -> None:
    job = world.planned(points=2)
    claimed = world.claim()

    def beat(attempt: int) -> str:
        with world.database.transaction() as session:
            return units.beat(session, claimed.unit.id, attempt, cells_done=0, lease_seconds=60)

    assert beat(claimed.unit.attempt + 1) == "stale"
    with world.database.transaction() as session:
        units.release(session, claimed.unit.id, claimed.unit.attempt)
    assert beat(claimed.unit.attempt) == "stale"
    again = world.claim(prefer_job=job.id)
    assert again.unit.id == claimed.unit.id
    assert beat(claimed.unit.attempt) == "stale"
    assert beat(again.unit.attempt) == "ok"


def test_release_counts_no_death_and_hints(world: World) -> None:
    job = world.planned(points=2)
    claimed = world.claim()
    with world.database.transaction() as session:
        units.release(session, claimed.unit.id, claimed.unit.attempt)
        unit = unit_of(session, claimed.unit.id)
    assert unit is not None
    assert (unit.state, unit.deaths, unit.lease_until) == ("ready", 0, None)
    assert "unit_released" in world.events(job.id)
    assert world.claim().unit.attempt == 2


def test_every_call_of_a_stale_attempt_is_refused_and_changes_nothing(world: World) -> None:
    """A worker that was taken for dead comes back and reports: nobody listens."""
    job = world.planned(points=1)
    ghost = world.claim()
    with world.database.transaction() as session:
        units.release(session, ghost.unit.id, ghost.unit.attempt)
    alive = world.claim()
    assert alive.unit.id == ghost.unit.id
    before = world.sql("SELECT * FROM units WHERE id = :id", id=ghost.unit.id)

    with pytest.raises(StaleAttempt), world.database.transaction() as session:
        units.report_tile(
            session, ghost.unit.id, ghost.unit.attempt, result=digest("ghost"), seconds=1.0
        )
    for retry in (True, False):
        with pytest.raises(StaleAttempt), world.database.transaction() as session:
            units.report_failed(session, ghost.unit.id, ghost.unit.attempt, PROBLEM, retry=retry)
    with pytest.raises(StaleAttempt), world.database.transaction() as session:
        units.release(session, ghost.unit.id, ghost.unit.attempt)
    with pytest.raises(StaleAttempt), world.database.transaction() as session:
        units.report_tile(session, "unt_nowhere", 1, result=digest("ghost"), seconds=1.0)

    assert world.sql("SELECT * FROM units WHERE id = :id", id=ghost.unit.id) == before
    assert world.sql("SELECT * FROM objects WHERE digest = :d", d=digest("ghost")) == []
    world.finish_tile(alive)
    with pytest.raises(StaleAttempt):
        world.finish_tile(alive)
    assert world.job(job.id).cells_done == 1


def test_a_report_for_a_unit_of_another_kind_is_a_fault_of_ours(world: World) -> None:
    world.planned(points=1)
    tile = world.claim()
    with pytest.raises(ValueError, match="another"), world.database.transaction() as session:
        units.report_refused(session, tile.unit.id, tile.unit.attempt, PROBLEM)
