"""Reports: what each makes true, all at once."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from service.domain.problems import Problem
from service.ledger import directions, jobs, landscapes, objects, units
from service.ledger.records import ClaimedUnit, NewLandscape
from service.ledger.session import Database
from tests.ledger.test_claims import together
from tests.ledger.world import PROBLEM, SIGNATURE, World, digest
from tests.support.ledger import units_of


def test_an_ingest_makes_the_model_ready_and_lets_its_jobs_go(world: World) -> None:
    model = world.model(ready=False)
    waiting = [world.submit(model) for _ in range(2)]
    assert {world.job(j.id).phase for j in waiting} == {"ingest"}
    assert all(world.states(j.id) == {"prepare": ["blocked"]} for j in waiting)
    claimed = world.claim()
    assert claimed.inputs.datasets == ()
    assert world.try_claim() is None

    with world.database.transaction() as session:
        units.report_ingested(
            session,
            claimed.unit.id,
            claimed.unit.attempt,
            signature={**SIGNATURE, "bound": True},
            graph=digest("graph"),
            constants=digest("constants"),
            sizes={digest("graph"): 77},
        )
    now = world.model_now(model.id)
    assert (now.state, now.graph, now.constants) == ("ready", digest("graph"), digest("constants"))
    assert now.signature == {**SIGNATURE, "bound": True}
    assert world.job(claimed.job.id).state == "succeeded"
    assert {world.job(j.id).phase for j in waiting} == {"prepare"}
    assert {world.claim().job.id for _ in waiting} == {j.id for j in waiting}
    with world.database.transaction() as session:
        graph = objects.seen(session, digest("graph"), world.key)
    assert world.linked(digest("constants")) == {claimed.job.project}
    assert graph is not None
    assert graph.size == 77


def test_a_refused_model_fails_the_jobs_that_waited_and_those_to_come(world: World) -> None:
    model = world.model(ready=False)
    waiting = world.submit(model)
    bystander = world.submit(world.model("beta"))
    ingest = world.sql("SELECT id FROM jobs WHERE kind = 'ingest' AND model_id = :id", id=model.id)[
        0
    ]["id"]
    claimed = world.claim(prefer_job=ingest)
    refusal = {"code": "program_refused", "detail": "aten::rand is not allowed"}
    with world.database.transaction() as session:
        units.report_refused(session, claimed.unit.id, claimed.unit.attempt, refusal)
    assert world.model_now(model.id).state == "refused"
    assert world.model_now(model.id).problem == refusal
    failed = world.job(waiting.id)
    assert failed.state == "failed"
    assert failed.error is not None
    assert failed.error["code"] == "model_refused"
    assert "aten::rand" in failed.error["detail"]
    assert world.job(bystander.id).state == "queued"
    with pytest.raises(Problem, match="refused at ingest"):
        world.submit(model)
    with pytest.raises(Problem, match="refused at ingest"), world.database.transaction() as session:
        jobs.retry(session, waiting.id)


def test_a_plan_writes_tiles_in_the_order_of_the_plan(world: World) -> None:
    job = world.planned(points=7, tile_cells=3)
    with world.database.transaction() as session:
        tiles = [u for u in units_of(session, job.id) if u.kind == "tile"]
    assert [(t.seq, t.start, t.stop) for t in tiles] == [(0, 0, 3), (1, 3, 6), (2, 6, 7)]
    assert (job.phase, job.cells_total, job.cells_done) == ("tile", 7, 0)
    assert job.plan is not None
    assert job.plan["tile_cells"] == 3
    for planned in job.plan["directions"]:
        assert world.linked(planned["object"]) == {job.project}


def test_many_tiles_fit_into_one_plan(world: World) -> None:
    job = world.planned(points=2500)
    assert len(world.states(job.id)["tile"]) == 2500
    hinted = world.sql("SELECT unit_id FROM outbox WHERE job_id = :id", id=job.id)
    # waking a crowd takes no message for each unit
    assert 1 <= len(hinted) <= 70


def finish(world: World, tiles: list[ClaimedUnit], number: int) -> None:
    world.finish_tile(tiles[number])


def test_two_last_tiles_at_once_make_finalise_ready_once(world: World) -> None:
    for _ in range(5):
        job = world.planned(points=2)
        last = [world.claim(f"w{n}", prefer_job=job.id) for n in range(2)]
        together(2, partial(finish, world, last))
        assert world.states(job.id)["finalise"] == ["ready"]
        finalise = world.claim()
        assert finalise.unit.kind == "finalise"
        assert world.try_claim() is None
        world.finalise(finalise)


def test_the_last_tile_waits_for_a_report_in_flight_and_sees_it(
    world: World, database: Database
) -> None:
    """The very interleaving in which each report could take the other's tile for unfinished."""
    job = world.planned(points=2)
    first, second = world.claim("w1"), world.claim("w2")
    reported = threading.Event()
    release = threading.Event()

    def report_and_linger() -> None:
        with database.transaction() as session:
            units.report_tile(session, first.unit.id, 1, result=digest("a"), seconds=1.0)
            reported.set()
            assert release.wait(30)

    with ThreadPoolExecutor(2) as pool:
        slow = pool.submit(report_and_linger)
        assert reported.wait(30)
        quick = pool.submit(world.finish_tile, second)
        blocked = "SELECT count(*) AS n FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        deadline = threading.Event()
        for _ in range(500):
            if world.sql(blocked)[0]["n"]:
                break
            deadline.wait(0.01)
        else:
            pytest.fail("the second report did not wait for the first")
        release.set()
        slow.result(30)
        quick.result(30)
    assert world.states(job.id)["finalise"] == ["ready"]


def test_a_result_is_published_whole(world: World) -> None:
    identity = world.done(points=2, landscape={"size": 123, "derived": {"loss": 0.5}}, tags=("t",))
    with world.database.transaction() as session:
        found = landscapes.get(session, identity)
        assert found is not None
        job = jobs.get(session, found.job_id)
        stored = objects.seen(session, found.data, world.key)
    assert job is not None
    assert (job.state, job.landscape_id) == ("succeeded", identity)
    assert job.finished_at is not None
    assert (found.spec, found.input_digest) == (job.spec, job.input_digest)
    assert (found.kind, found.tags, found.derived) == ("surface", ("t",), {"loss": 0.5})
    assert stored is not None
    assert stored.size == 123
    assert set().union(*world.states(job.id).values()) == {"done"}


def test_nothing_is_published_when_a_part_fails(world: World) -> None:
    job = world.planned(points=1)
    world.finish_tile(world.claim())
    claimed = world.claim()
    with pytest.raises(RuntimeError, match="halfway"), world.database.transaction() as session:  # noqa: PT012
        units.report_finalised(
            session,
            claimed.unit.id,
            claimed.unit.attempt,
            landscape=NewLandscape(data=digest("half"), provenance={}, derived={}),
        )
        raise RuntimeError("halfway")
    assert world.sql("SELECT * FROM landscapes") == []
    assert world.sql("SELECT * FROM objects WHERE digest = :d", d=digest("half")) == []
    assert world.job(job.id).state == "running"
    world.finalise(claimed)


def test_a_failure_for_good_fails_the_job_and_stops_the_others(world: World) -> None:
    job = world.planned(points=3)
    world.finish_tile(world.claim())
    mine, neighbour = world.claim("w1"), world.claim("w2")
    with world.database.transaction() as session:
        units.report_failed(session, mine.unit.id, mine.unit.attempt, PROBLEM, retry=False)
    failed = world.job(job.id)
    assert (failed.state, failed.error) == ("failed", PROBLEM)
    assert world.states(job.id)["tile"] == ["done", "failed", "cancelled"]
    with world.database.transaction() as session:
        said = units.beat(
            session, neighbour.unit.id, neighbour.unit.attempt, cells_done=0, lease_seconds=60
        )
    assert said == "cancelled"
    assert world.try_claim() is None


def test_a_failure_for_now_is_tried_three_times(world: World) -> None:
    job = world.planned(points=1)
    for attempt in (1, 2, 3):
        assert world.job(job.id).state == "running"
        world.settle()
        claimed = world.claim()
        assert (claimed.unit.attempt, claimed.unit.deaths) == (attempt, attempt - 1)
        with world.database.transaction() as session:
            units.report_failed(session, claimed.unit.id, attempt, PROBLEM, retry=True)
    failed = world.job(job.id)
    assert (failed.state, failed.error) == ("failed", PROBLEM)
    assert world.events(job.id).count("unit_redone") == 2


def test_directions_are_materialised_once(world: World) -> None:
    job = world.submit(world.model())
    identity = job.directions["x"]
    with world.database.transaction() as session:
        first = directions.materialise(session, identity, digest("x"), 2.5, size=40)
        again = directions.materialise(session, identity, digest("other"), 9.0)
    assert (first.object, first.norm) == (digest("x"), 2.5)
    assert again == first
