"""Hints: sent soon, sent again while nobody comes, never for what is not ready, never in floods."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from service.ledger import jobs, outbox, units
from service.ledger.records import OutboxMessage
from service.ledger.session import Database
from tests.ledger.world import World

RESEND = 15.0


def take(world: World, limit: int = 100) -> list[OutboxMessage]:
    with world.database.transaction() as session:
        return outbox.take_due(session, limit, resend_after_seconds=RESEND)


def send(world: World, limit: int = 100) -> list[str]:
    """A relay's round: the hinted units."""
    with world.database.transaction() as session:
        due = outbox.take_due(session, limit, resend_after_seconds=RESEND)
        outbox.mark_sent(session, [message.id for message in due])
    return [message.payload["unit"] for message in due]


def pass_time(world: World, seconds: float) -> None:
    """Everything the outbox looks at happened that much earlier."""
    for table, columns in {
        "outbox": ("sent_at", "not_before", "created_at"),
        "units": ("ready_at",),
    }.items():
        for column in columns:
            world.sql(
                f"UPDATE {table} SET {column} = {column} - make_interval(secs => :s)",  # noqa: S608
                s=seconds,
            )


def test_a_hint_is_due_at_once_and_not_again_soon(world: World) -> None:
    job = world.submit(world.model())
    (message,) = take(world)
    assert message.topic == "hint"
    assert message.payload["job"] == job.id
    assert send(world) == [message.payload["unit"]]
    assert send(world) == []


def test_an_unmarked_hint_is_taken_again(world: World) -> None:
    """The relay died between taking and sending, or the broker refused."""
    world.submit(world.model())
    assert len(take(world)) == 1
    assert len(send(world)) == 1


def test_a_hint_that_nobody_followed_is_sent_again(world: World) -> None:
    world.submit(world.model())
    first = send(world)
    pass_time(world, RESEND - 1)
    assert send(world) == []
    pass_time(world, 2)
    assert send(world) == first
    assert world.sql("SELECT attempts FROM outbox")[0]["attempts"] == 2


def test_a_claimed_unit_is_not_hinted(world: World) -> None:
    world.submit(world.model())
    world.claim()
    assert send(world) == []
    pass_time(world, RESEND + 1)
    assert send(world) == []
    assert world.sql("SELECT * FROM outbox") == []


def test_a_cancelled_jobs_hint_is_dropped(world: World) -> None:
    job = world.submit(world.model())
    with world.database.transaction() as session:
        jobs.cancel(session, job.id)
    assert send(world) == []


def test_a_unit_that_comes_back_is_hinted_at_once(world: World) -> None:
    world.submit(world.model())
    send(world)
    claimed = world.claim()
    with world.database.transaction() as session:
        units.release(session, claimed.unit.id, claimed.unit.attempt)
    assert send(world) == [claimed.unit.id]


def test_a_crowd_is_woken_but_not_by_a_flood(world: World) -> None:
    job = world.planned(points=500)
    first = send(world, 1000)
    assert len(first) == outbox.HINTS_AT_ONCE
    tiles = [
        row["id"]
        for row in world.sql(
            "SELECT id FROM units WHERE job_id = :id AND kind = 'tile' ORDER BY seq", id=job.id
        )
    ]
    assert sorted(first) == sorted(tiles[: len(first)])


def test_a_job_whose_hinted_units_are_gone_is_hinted_again(world: World) -> None:
    """Every worker was stopped after its unit: the units that were never hinted are not lost."""
    job = world.planned(points=outbox.HINTS_AT_ONCE + 20)
    send(world)
    for _ in range(outbox.HINTS_AT_ONCE):
        world.finish_tile(world.claim(prefer_job=job.id))
    assert send(world) == []
    pass_time(world, RESEND + 1)
    again = send(world)
    assert len(again) == outbox.HINTS_AGAIN
    ready = {r["id"] for r in world.sql("SELECT id FROM units WHERE state = 'ready'")}
    assert set(again) <= ready
    # and no more than that until the time is up again
    assert send(world) == []


def test_two_relays_take_different_hints(world: World, database: Database) -> None:
    model = world.model()
    for _ in range(4):
        world.submit(model)
    taken, go_on = threading.Event(), threading.Event()

    def first() -> list[int]:
        with database.transaction() as session:
            due = outbox.take_due(session, 2, resend_after_seconds=RESEND)
            taken.set()
            assert go_on.wait(30)
            outbox.mark_sent(session, [m.id for m in due])
        return [m.id for m in due]

    with ThreadPoolExecutor(1) as pool:
        one = pool.submit(first)
        assert taken.wait(30)
        with database.transaction() as session:
            two = [m.id for m in outbox.take_due(session, 10, resend_after_seconds=RESEND)]
        go_on.set()
        assert len(two) == 2
        assert set(two).isdisjoint(one.result(30))


def test_the_limit_holds_and_the_oldest_come_first(world: World) -> None:
    model = world.model()
    made = [world.submit(model).id for _ in range(3)]
    assert [m.payload["job"] for m in take(world, 2)] == made[:2]


def test_readiness_and_events_are_notified_once_committed(world: World) -> None:
    new = world.new_job(world.model())
    with world.database.listen(["lossatlas_hint", "lossatlas_job"]) as listening:
        with world.database.transaction() as session:
            job = jobs.submit(session, new)
            assert listening.wait(0.2) == []
        heard: set[tuple[str, str]] = set()
        while len(heard) < 2:
            notes = listening.wait(10)
            assert notes, "nothing was notified"
            heard.update(notes)
    unit = world.sql("SELECT id FROM units WHERE job_id = :id", id=job.id)[0]["id"]
    assert heard == {("lossatlas_hint", unit), ("lossatlas_job", job.id)}
