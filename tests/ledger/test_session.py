"""Transactions and listening, also while the database is away."""

from __future__ import annotations

import time

import psycopg
import pytest
from sqlalchemy import exc

from service.domain.problems import Problem
from service.ledger import projects
from service.ledger.session import Database, driver_url
from service.ledger.sqltext import run
from tests.ledger.conftest import libpq
from tests.ledger.world import World
from tests.support.ledger import project_names


def terminate(url: str, application: str) -> int:
    """Cuts the connections of an application, as a restart of the server would."""
    with psycopg.connect(libpq(url), autocommit=True) as admin:
        return len(
            admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = %s",
                [application],
            ).fetchall()
        )


def names(database: Database) -> list[str]:
    with database.transaction() as session:
        return project_names(session)


def test_a_clean_exit_commits(database: Database) -> None:
    with database.transaction() as session:
        projects.ensure(session, "alpha")
        assert names(database) == []
    assert names(database) == ["alpha"]


def test_an_exception_rolls_back(database: Database) -> None:
    with pytest.raises(KeyError), database.transaction() as session:  # noqa: PT012
        projects.ensure(session, "alpha")
        raise KeyError("x")
    assert names(database) == []


def test_a_database_that_is_not_there_is_unavailable_soon() -> None:
    away = Database("postgresql://nobody:nothing@127.0.0.1:1/none")
    before = time.monotonic()
    with pytest.raises(Problem) as caught:
        away.ping()
    assert caught.value.code == "unavailable"
    assert caught.value.kind.retryable
    assert time.monotonic() - before < 10
    with pytest.raises(Problem) as caught, away.listen(["x"]):
        pass
    assert caught.value.code == "unavailable"
    away.dispose()


def test_a_connection_lost_in_a_transaction_is_unavailable_and_the_next_one_works(
    ledger_url: str, database: Database
) -> None:
    mine = Database(ledger_url, application_name="ledger-cut")
    with pytest.raises(Problem) as caught, mine.transaction() as session:  # noqa: PT012
        projects.ensure(session, "alpha")
        assert terminate(ledger_url, "ledger-cut") == 1
        projects.ensure(session, "beta")
    assert caught.value.code == "unavailable"
    assert names(mine) == []
    mine.dispose()


def test_a_connection_lost_at_the_commit_is_unavailable(
    ledger_url: str, database: Database
) -> None:
    mine = Database(ledger_url, application_name="ledger-cut")
    with pytest.raises(Problem) as caught, mine.transaction() as session:  # noqa: PT012
        projects.ensure(session, "alpha")
        terminate(ledger_url, "ledger-cut")
    assert caught.value.code == "unavailable"
    assert names(mine) == []
    mine.dispose()


def test_idle_connections_lost_meanwhile_are_replaced_unnoticed(
    ledger_url: str, database: Database
) -> None:
    mine = Database(ledger_url, application_name="ledger-cut")
    mine.ping()
    assert terminate(ledger_url, "ledger-cut") == 1
    mine.ping()
    mine.dispose()


def test_a_pool_in_use_is_unavailable_and_no_hang(ledger_url: str) -> None:
    small = Database(ledger_url, pool_size=1)
    before = time.monotonic()
    with small.transaction() as one, small.transaction() as two:
        run(one, "SELECT 1")
        run(two, "SELECT 1")
        with pytest.raises(Problem) as caught:
            small.ping()
    assert caught.value.code == "unavailable"
    assert time.monotonic() - before < 10
    small.dispose()


def test_what_postgres_cannot_hold_is_the_callers_fault(world: World) -> None:
    for metadata in ({"a": "\x00"}, {"a\x00": 1}):
        with pytest.raises(Problem) as caught:
            world.model(ready=False, metadata=metadata)
        assert caught.value.code == "invalid_request"
    with pytest.raises(Problem) as caught:
        world.model(ready=False, name="a\x00b")
    assert caught.value.code == "invalid_request"
    assert world.sql("SELECT * FROM models") == []


def test_faults_of_ours_stay_visible(database: Database) -> None:
    with pytest.raises(exc.ProgrammingError), database.transaction() as session:
        run(session, "SELECT FROM no_such_table")


@pytest.mark.parametrize("url", ["sqlite:///x", "mysql://a/b", "not a url"])
def test_other_servers_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"Postgres|postgresql"):
        driver_url(url)


def test_listening_hears_everything_in_order_and_times_out(database: Database) -> None:
    with database.listen(["one", "two"]) as listening:
        before = time.monotonic()
        assert listening.wait(0.05) == []
        assert time.monotonic() - before < 5
        with database.transaction() as session:
            for channel, payload in (("one", "a"), ("three", "b"), ("two", "c")):
                run(session, "SELECT pg_notify(:c, :p)", c=channel, p=payload)
        heard: list[tuple[str, str]] = []
        while len(heard) < 2:
            notes = listening.wait(10)
            assert notes, "a notification was lost"
            heard += notes
        assert heard == [("one", "a"), ("two", "c")]


def test_a_lost_listener_says_so(ledger_url: str, database: Database) -> None:
    with database.listen(["one"]) as listening:
        assert terminate(ledger_url, "ledger-tests-listen") == 1
        with pytest.raises(Problem) as caught:
            listening.wait(10)
        assert caught.value.code == "unavailable"
    with database.listen(["one"]) as listening:
        assert listening.wait(0.01) == []
