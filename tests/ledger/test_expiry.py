"""Workers that stop beating: their units go on elsewhere, or end as poison."""

from __future__ import annotations

from service.ledger import jobs, units
from service.ledger.claims import SHUN_SECONDS
from service.ledger.failures import MAX_LOSSES
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
    assert (unit.state, unit.deaths, unit.losses, unit.attempt) == ("ready", 0, 1, 1)
    assert world.events(job.id)[-1] == "unit_redone"
    assert [r["unit_id"] for r in world.sql("SELECT unit_id FROM outbox")] == [claimed.unit.id]
    assert expire(world) == []
    assert world.job(job.id).state == "running"


def test_too_many_losses_are_poison_and_harm_no_other_job(world: World) -> None:
    model = world.model()
    job = world.planned(model, points=3)
    other = world.planned(model, points=1)
    finished = world.claim(prefer_job=job.id)
    world.finish_tile(finished)
    for loss in range(1, MAX_LOSSES + 1):
        world.settle()
        claimed = world.claim(prefer_job=job.id)
        kill(world, claimed.unit.id)
        (expired,) = expire(world)
        assert (expired.losses, expired.poison) == (loss, loss == MAX_LOSSES)
    failed = world.job(job.id)
    assert failed.state == "failed"
    assert failed.error is not None
    assert failed.error["code"] == "poison"
    assert f"{MAX_LOSSES} times" in failed.error["detail"]
    assert sorted(world.states(job.id)["tile"]) == ["cancelled", "done", "failed"]
    assert world.states(job.id)["finalise"] == ["cancelled"]
    # nothing of it is left to claim; the other job goes on
    assert world.claim().job.id == other.id
    assert world.try_claim() is None


def test_machines_that_die_are_not_held_against_the_unit(world: World) -> None:
    """Two failures of its own and three lost workers: it may still be done."""
    job = world.planned(points=1)
    for _ in range(2):
        world.settle()
        claimed = world.claim()
        with world.database.transaction() as session:
            units.report_failed(session, claimed.unit.id, claimed.unit.attempt, PROBLEM, retry=True)
    for _ in range(3):
        world.settle()
        kill(world, world.claim().unit.id)
        assert [e.poison for e in expire(world)] == [False]
    world.settle()
    claimed = world.claim()
    with world.database.transaction() as session:
        units.report_failed(session, claimed.unit.id, claimed.unit.attempt, PROBLEM, retry=True)
    assert world.job(job.id).state == "failed"


def test_a_unit_goes_to_another_worker_than_the_one_it_failed_on(world: World) -> None:
    world.planned(points=1)
    claimed = world.claim("one")
    with world.database.transaction() as session:
        units.report_failed(session, claimed.unit.id, claimed.unit.attempt, PROBLEM, retry=True)
    assert world.try_claim("one") is None
    assert world.claim("two").unit.id == claimed.unit.id


def test_where_there_is_no_other_worker_the_same_may_try_again(world: World) -> None:
    world.planned(points=1)
    claimed = world.claim("one")
    with world.database.transaction() as session:
        units.report_failed(session, claimed.unit.id, claimed.unit.attempt, PROBLEM, retry=True)
    world.sql(
        "UPDATE units SET ready_at = ready_at - make_interval(secs => :s) WHERE id = :i",
        s=SHUN_SECONDS,
        i=claimed.unit.id,
    )
    assert world.claim("one").unit.id == claimed.unit.id


def test_what_fails_again_waits_ever_longer(world: World) -> None:
    world.planned(points=1)
    pauses = []
    for worker in "abcd":
        world.settle()
        kill(world, world.claim(worker).unit.id)
        expire(world)
        (row,) = world.sql(
            "SELECT extract(epoch FROM u.ready_at - now())::float8 AS wait,"
            " u.ready_at = o.not_before AS told FROM units u JOIN outbox o ON o.unit_id = u.id"
            " WHERE u.state = 'ready'"
        )
        assert row["told"]
        pauses.append(row["wait"])
    assert pauses[0] <= 0
    assert 0 < pauses[1] < pauses[2] < pauses[3] <= 30
    assert world.try_claim("e") is None


def test_a_workers_own_fault_is_not_counted_and_it_is_told(world: World) -> None:
    job = world.planned(points=1)
    claimed = world.claim("full")
    with world.database.transaction() as session:
        units.release(session, claimed.unit.id, claimed.unit.attempt, fault="No space left")
        unit = unit_of(session, claimed.unit.id)
    assert unit is not None
    assert (unit.state, unit.deaths, unit.losses) == ("ready", 0, 0)
    assert world.try_claim("full") is None
    assert world.claim("well").unit.id == claimed.unit.id
    (said,) = world.sql(
        "SELECT data FROM job_events WHERE job_id = :j AND type = 'unit_released'", j=job.id
    )
    assert said["data"]["fault"] == "No space left"


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
    for _ in range(MAX_LOSSES):
        world.settle()
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
