"""The relay between a real database and a real broker: hints sent, and kept while it is away."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery

from service.dispatch import reaper
from service.dispatch.broker import TASK, broker_options
from service.dispatch.producer import BrokerAway, Producer
from service.dispatch.relay import Relay
from service.settings import Settings
from tests.ledger.world import World
from tests.support.processes import until

#: Nothing listens here: port 1 of this machine.
NOWHERE = "redis://127.0.0.1:1/0"


class Queue:
    """The receiving end of the queue `cpu`, emptied when opened."""

    def __init__(self, settings: Settings) -> None:
        app = Celery("tests", broker=settings.broker_url, set_as_current=False)
        app.conf.update(**broker_options(settings))
        self._connection = app.connection_for_read()
        self._queue = self._connection.SimpleQueue("cpu")
        self._queue.clear()

    def take(self) -> dict[str, Any]:
        """The next message: its task and its first argument."""
        message = self._queue.get(block=True, timeout=10.0)
        message.ack()
        body = message.payload
        return {"task": message.headers["task"], "hint": body[0][0]}

    def wait_for(self, job: str) -> None:
        """Takes messages until one is about this job."""
        while self.take()["hint"]["job"] != job:
            pass

    def is_empty(self) -> bool:
        """Whether nothing has arrived; takes what has."""
        try:
            self._queue.get_nowait()
        except self._queue.Empty:
            return True
        return False

    def close(self) -> None:
        self._queue.close()
        self._connection.release()


@pytest.fixture
def queue(relay_settings: Settings) -> Iterator[Queue]:
    opened = Queue(relay_settings)
    yield opened
    opened.close()


@pytest.fixture
def relay(relay_settings: Settings) -> Relay:
    return Relay(relay_settings)


def outbox(world: World) -> list[dict[Any, Any]]:
    return world.sql("SELECT * FROM outbox ORDER BY id")


def test_a_ready_unit_is_hinted_by_name(relay: Relay, queue: Queue, world: World) -> None:
    job = world.submit(world.model())
    relay.round()
    taken = queue.take()
    assert taken["task"] == TASK
    assert taken["hint"]["job"] == job.id
    assert json.dumps(taken["hint"])
    assert all(row["sent_at"] is not None for row in outbox(world))


def test_a_hint_nobody_followed_is_sent_again(relay: Relay, queue: Queue, world: World) -> None:
    job = world.submit(world.model())
    relay.round()
    relay.round()
    assert {queue.take()["hint"]["job"] for _ in range(2)} == {job.id}
    claimed = world.claim(prefer_job=job.id)
    relay.round()
    assert queue.is_empty()
    assert claimed.job.id == job.id


def test_hints_wait_while_the_broker_is_away(
    relay_settings: Settings, queue: Queue, world: World
) -> None:
    away = Relay(relay_settings.model_copy(update={"broker_url": NOWHERE}))
    job = world.submit(world.model())
    away.round()
    rows = outbox(world)
    assert rows
    assert all(row["sent_at"] is None for row in rows)
    Relay(relay_settings).round()
    assert queue.take()["hint"]["job"] == job.id


def test_a_broker_that_is_away_is_told_within_seconds(relay_settings: Settings) -> None:
    producer = Producer(relay_settings.model_copy(update={"broker_url": NOWHERE}))
    with pytest.raises(BrokerAway):
        producer.send({"unit": "u", "job": "j"}, "cpu")


@contextlib.contextmanager
def running_reaper(settings: Settings) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=reaper.run, args=(settings, stop))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(10.0)


def test_what_the_dead_held_is_taken_back(
    relay: Relay, queue: Queue, world: World, relay_settings: Settings
) -> None:
    job = world.submit(world.model())
    world.claim(prefer_job=job.id, lease=0)
    with running_reaper(relay_settings):
        until("the unit to be ready", lambda: world.states(job.id)["prepare"] == ["ready"])
    relay.round()
    assert queue.take()["hint"]["job"] == job.id
    assert "unit_redone" in world.events(job.id)


def test_two_relays_do_not_wait_for_each_other(
    relay_settings: Settings, queue: Queue, world: World
) -> None:
    model = world.model()
    jobs = {world.submit(model).id for _ in range(20)}
    threads = [threading.Thread(target=Relay(relay_settings).round) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30.0)
        assert not thread.is_alive()
    heard = {queue.take()["hint"]["job"] for _ in range(20)}
    assert heard <= jobs
    assert heard


def test_it_wakes_at_a_notification_and_stops_when_told(
    relay_settings: Settings, queue: Queue, world: World
) -> None:
    stop = threading.Event()
    relay = Relay(relay_settings.model_copy(update={"hint_resend_seconds": 60.0}))
    thread = threading.Thread(target=relay.run, args=(stop,))
    thread.start()
    try:
        job = world.submit(world.model())
        queue.wait_for(job.id)
    finally:
        stop.set()
        thread.join(10.0)
    assert not thread.is_alive()


def test_it_survives_the_loss_of_its_connection(
    relay_settings: Settings, queue: Queue, world: World
) -> None:
    stop = threading.Event()
    thread = threading.Thread(target=Relay(relay_settings).run, args=(stop,))
    thread.start()
    try:

        def listening() -> int | None:
            found = world.sql(
                "SELECT pid FROM pg_stat_activity WHERE application_name = 'lossatlas-relay-listen'"
                " AND datname = current_database()"
            )
            return int(found[0]["pid"]) if found else None

        pid = until("the relay to listen", listening, 20.0)
        world.sql("SELECT pg_terminate_backend(:pid)", pid=pid)
        until("it to listen again", lambda: listening() not in (None, pid), 20.0)
        job = world.submit(world.model())
        queue.wait_for(job.id)
    finally:
        stop.set()
        thread.join(10.0)
