"""A project holds no more than its share of the workers while another one waits."""

from __future__ import annotations

from service.ledger import claims, units
from service.ledger.records import ClaimedUnit
from tests.ledger.world import World


def _waiting(world: World, job: str, seconds: float) -> None:
    """The job's units have been ready for so long."""
    world.sql(
        "UPDATE units SET ready_at = now() - make_interval(secs => :ago) WHERE job_id = :id",
        ago=seconds,
        id=job,
    )


def _going_on(world: World, claimed: ClaimedUnit, seconds: float) -> None:
    """The unit was begun so long ago."""
    world.sql(
        "UPDATE units SET started_at = now() - make_interval(secs => :ago) WHERE id = :id",
        ago=seconds,
        id=claimed.unit.id,
    )


def _beat(world: World, claimed: ClaimedUnit) -> str:
    with world.database.transaction() as session:
        return units.beat(
            session, claimed.unit.id, claimed.unit.attempt, cells_done=0, lease_seconds=60
        )


def _release(world: World, claimed: ClaimedUnit) -> None:
    with world.database.transaction() as session:
        units.release(session, claimed.unit.id, claimed.unit.attempt)


def test_a_projects_ingests_run_one_at_a_time(world: World) -> None:
    """Models that nobody has run yet cannot take every worker, however many there are."""
    for _ in range(3):
        world.model("alpha", ready=False)
    first = world.claim()
    assert first.unit.kind == "ingest"
    assert world.try_claim() is None
    world.model("beta", ready=False)
    assert world.claim().job.project == "beta"
    world.ingest(first)
    second = world.claim()
    assert (second.unit.kind, second.job.project) == ("ingest", "alpha")


def test_an_ingest_that_waits_for_its_turn_is_no_obstacle_to_the_projects_jobs(
    world: World,
) -> None:
    ready = world.model("alpha")
    world.model("alpha", ready=False)
    world.model("alpha", ready=False)
    job = world.submit(ready)
    assert world.claim().unit.kind == "ingest"
    assert world.claim().job.id == job.id


def test_a_worker_leaves_its_job_for_a_project_that_fewer_serve(world: World) -> None:
    """Four workers stay with their jobs, three of them alpha's: one goes over, then they stay."""
    mine = world.planned(world.model("alpha"), points=20)
    theirs = world.planned(world.model("beta"), points=20)
    _waiting(world, theirs.id, claims.PATIENCE_SECONDS + 1)
    held = [world.claim(f"w{n}") for n in range(4)]
    hers = [c for c in held if c.job.id == mine.id]
    assert len(hers) == 2
    # beta gives one up: three to one, and alpha's next finishes
    other = next(c for c in held if c.job.id == theirs.id)
    _release(world, other)
    _waiting(world, theirs.id, claims.PATIENCE_SECONDS + 1)
    world.sql(
        "UPDATE units SET state = 'leased', attempt = 1, worker = 'w9', started_at = now(),"
        " lease_until = now() + interval '1 hour'"
        " WHERE id = (SELECT id FROM units WHERE job_id = :id AND state = 'ready' LIMIT 1)",
        id=mine.id,
    )
    _release(world, hers[0])
    assert world.claim("w0", prefer_job=mine.id).job.id == theirs.id
    assert world.claim("w1", prefer_job=mine.id).job.id == mine.id


def test_the_last_of_several_long_units_is_given_back_for_who_waits(world: World) -> None:
    mine = world.planned(world.model("alpha"), points=20)
    first, last = world.claim("w1"), world.claim("w2")
    _going_on(world, first, claims.YIELD_SECONDS + 20)
    _going_on(world, last, claims.YIELD_SECONDS + 10)
    assert [_beat(world, c) for c in (first, last)] == ["ok", "ok"]  # nobody waits

    waiting = world.submit(world.model("beta"))
    assert [_beat(world, c) for c in (first, last)] == ["ok", "ok"]  # not for long
    _waiting(world, waiting.id, claims.YIELD_SECONDS + 1)
    assert [_beat(world, c) for c in (first, last)] == ["ok", "yield"]
    _release(world, last)
    assert world.claim("w2", prefer_job=mine.id).job.id == waiting.id
    assert _beat(world, first) == "ok"  # the only one that it has left


def test_a_short_unit_and_an_only_one_are_kept(world: World) -> None:
    world.planned(world.model("alpha"), points=20)
    only = world.claim("w1")
    _going_on(world, only, claims.YIELD_SECONDS + 20)
    waiting = world.submit(world.model("beta"))
    _waiting(world, waiting.id, claims.YIELD_SECONDS + 1)
    assert _beat(world, only) == "ok"
    served = world.claim("w2")
    assert served.job.id == waiting.id
    more = world.claim("w3")
    third = world.submit(world.model("gamma"))
    _waiting(world, third.id, claims.YIELD_SECONDS + 1)
    assert _beat(world, more) == "ok"  # it has just begun
