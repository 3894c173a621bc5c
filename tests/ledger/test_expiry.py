"""Workers that stop beating: their units go on elsewhere, or end as poison."""

from __future__ import annotations

from service.ledger import jobs, units
from service.ledger.records import ExpiredUnit
from tests.ledger.world import PROBLEM, World
from tests.support.ledger import unit_of


def expire(world: World) -> list[ExpiredUnit]:
    with world.database.transaction() as session:
        return units.expire(session)


def kill(world: World, unit_id: str) -> None:
    """Its worker has been silent for longer than the lease."""
    world.sql("UPDATE units SET lease_until = now() - interval '1 second' WHERE id = :i", i=unit_id)


def test_a_live_lease_is_left_alone(world: World) -> None:
    world.planned(points=2)
    claimed = world.claim()
    assert expire(world) == []
    world.finish_tile(claimed)


def test_a_dead_workers_unit_is_ready_again_with_a_hint(world: World) -> None:
    job = world.planned(points=2)
    claimed = world.claim("doomed")
    world.sql("DELETE FROM outbox")
    kill(world, claimed.unit.id)
    assert expire(world) == [ExpiredUnit(claimed.unit.id, job.id, "doomed", 1, poison=False)]
    with world.database.transaction() as session:
        unit = unit_of(session, claimed.unit.id)
    assert unit is not None
    assert (unit.state, unit.deaths, unit.attempt) == ("ready", 1, 1)
    assert world.events(job.id)[-1] == "unit_redone"
    assert [r["unit_id"] for r in world.sql("SELECT unit_id FROM outbox")] == [claimed.unit.id]
    assert expire(world) == []
    assert world.job(job.id).state == "running"


def test_the_third_death_is_poison_and_harms_no_other_job(world: World) -> None:
    model = world.model()
    job = world.planned(model, points=3)
    other = world.planned(model, points=1)
    finished = world.claim(prefer_job=job.id)
    world.finish_tile(finished)
    for death in (1, 2, 3):
        claimed = world.claim(prefer_job=job.id)
        kill(world, claimed.unit.id)
        (expired,) = expire(world)
        assert (expired.deaths, expired.poison) == (death, death == 3)
    failed = world.job(job.id)
    assert failed.state == "failed"
    assert failed.error is not None
    assert failed.error["code"] == "poison"
    assert "3 times" in failed.error["detail"]
    assert sorted(world.states(job.id)["tile"]) == ["cancelled", "done", "failed"]
    assert world.states(job.id)["finalise"] == ["cancelled"]
    # nothing of it is left to claim; the other job goes on
    assert world.claim().job.id == other.id
    assert world.try_claim() is None


def test_deaths_and_retried_failures_count_together(world: World) -> None:
    job = world.planned(points=1)
    for _ in range(2):
        claimed = world.claim()
        with world.database.transaction() as session:
            units.report_failed(session, claimed.unit.id, claimed.unit.attempt, PROBLEM, retry=True)
    claimed = world.claim()
    kill(world, claimed.unit.id)
    assert [e.poison for e in expire(world)] == [True]
    assert world.job(job.id).state == "failed"


def test_a_beat_in_time_saves_the_unit(world: World) -> None:
    world.planned(points=1)
    claimed = world.claim()
    kill(world, claimed.unit.id)
    with world.database.transaction() as session:
        said = units.beat(session, claimed.unit.id, 1, cells_done=0, lease_seconds=60)
    assert said == "ok"
    assert expire(world) == []


def test_a_job_in_other_hands_is_left_for_the_next_round(world: World) -> None:
    job = world.planned(points=1)
    claimed = world.claim()
    kill(world, claimed.unit.id)
    with world.database.transaction() as session:
        jobs.lock(session, job.id)
        assert expire(world) == []
    assert len(expire(world)) == 1


def test_a_dead_ingest_refuses_its_model_in_the_end(world: World) -> None:
    model = world.model(ready=False)
    waiting = world.submit(model)
    for _ in range(units.MAX_DEATHS):
        kill(world, world.claim().unit.id)
        expire(world)
    refused = world.model_now(model.id)
    assert refused.state == "refused"
    assert refused.problem is not None
    assert refused.problem["code"] == "poison"
    ended = world.job(waiting.id)
    assert ended.state == "failed"
    assert ended.error is not None
    assert ended.error["code"] == "model_refused"
