"""A unit in hand keeps its lease, and its worker hears when it is lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from service.ledger import jobs, units
from service.ledger.records import ClaimedUnit
from service.ledger.session import Database
from tests.ledger.world import World
from tests.support.ledger import unit_of
from workers.heart import Heart, LostUnit


def _tile(world: World) -> ClaimedUnit:
    """A tile of four cells in a worker's hands."""
    return world.claim(prefer_job=world.planned(tile_cells=4).id, lease=2)


def _heart(database: Database, unit: str, attempt: int, every: float = 0.05) -> Heart:
    return Heart(database, unit=unit, attempt=attempt, lease_seconds=2, every_seconds=every)


def _until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.01)


def test_it_outlives_the_lease_and_tells_progress(database: Database, world: World) -> None:
    claimed = _tile(world)
    with _heart(database, claimed.unit.id, claimed.unit.attempt) as heart:
        heart.cells_done = 2

        def told() -> bool:
            with database.transaction() as session:
                unit = unit_of(session, claimed.unit.id)
                assert unit is not None
                assert unit.state == "leased"
                return unit.cells_done == 2

        _until(told)
        assert claimed.unit.lease_until is not None
        with database.transaction() as session:
            unit = unit_of(session, claimed.unit.id)
        assert unit is not None
        assert unit.lease_until is not None
        assert unit.lease_until > claimed.unit.lease_until
        heart.check()


def test_a_cancelled_job_is_heard_of(database: Database, world: World) -> None:
    claimed = _tile(world)
    with _heart(database, claimed.unit.id, claimed.unit.attempt) as heart:
        with database.transaction() as session:
            jobs.cancel(session, claimed.job.id)
        with pytest.raises(LostUnit, match="cancelled"):
            heart.wait(20.0)


def test_a_unit_taken_away_is_heard_of(database: Database, world: World) -> None:
    claimed = _tile(world)
    with _heart(database, claimed.unit.id, claimed.unit.attempt) as heart:
        with database.transaction() as session:
            units.release(session, claimed.unit.id, claimed.unit.attempt)
        with pytest.raises(LostUnit, match="stale"):
            heart.wait(20.0)


def test_it_stops_with_its_block(database: Database, world: World) -> None:
    claimed = _tile(world)
    with _heart(database, claimed.unit.id, claimed.unit.attempt):
        pass
    assert not [t for t in threading.enumerate() if t.name.startswith("heart")]


def test_an_outage_is_waited_through(world: World) -> None:
    claimed = _tile(world)
    away = Database("postgresql://nobody:x@127.0.0.1:1/none")
    with _heart(away, claimed.unit.id, claimed.unit.attempt) as heart:
        heart.wait(0.5)
    assert heart.lost is None
