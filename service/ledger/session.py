"""Connections and transactions: the one place that commits, and the one that listens.

Owns the pool, what an outage looks like to callers (Problem `unavailable`, soon, never a hang),
and LISTEN. Knows no table.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import psycopg
from psycopg import sql
from sqlalchemy import URL, create_engine, exc, make_url, text
from sqlalchemy.orm import Session

from service.domain.problems import Problem
from service.ledger.connection import PatientConnection

__all__ = ["Database", "Listener", "Session"]

#: Waiting longer for a connection than this helps nobody: the caller can try again.
_CONNECT_SECONDS: Final = 5
_POOL_SECONDS: Final = 5

#: How long the server may be at one statement, and we wait for its answer beyond that.
_STATEMENT_SECONDS: Final = 60.0
_SILENCE_SECONDS: Final = 2.0

#: A transaction whose owner fell asleep must not hold rows for ever; a server that vanished
#: without a word is noticed by the kernel in seconds and not in hours.
_CONNECTION_OPTIONS: Final[dict[str, Any]] = {
    "connect_timeout": _CONNECT_SECONDS,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}


def _server_options(statement_seconds: float) -> str:
    statement, lock = round(1000 * statement_seconds), round(1000 * statement_seconds / 3)
    return (
        f"-c timezone=UTC -c statement_timeout={statement} -c lock_timeout={lock} "
        "-c idle_in_transaction_session_timeout=120s"
    )


class Database:
    """A pool of connections to the ledger. Safe to share between threads, not across a fork.

    Args:
        url: `postgresql://…`; Unix sockets as `postgresql://user:pw@/db?host=/dir`.
        pool_size: connections kept; as many again may be opened under load.
        application_name: shown in `pg_stat_activity`.
        statement_seconds: the longest that one statement may take; a third of it for a lock.
    """

    def __init__(
        self,
        url: str,
        *,
        pool_size: int = 5,
        application_name: str = "lossatlas",
        statement_seconds: float = _STATEMENT_SECONDS,
    ) -> None:
        self._url = driver_url(url)
        self._answer_seconds = statement_seconds + _SILENCE_SECONDS
        self._options = {
            **_CONNECTION_OPTIONS,
            "options": _server_options(statement_seconds),
            "application_name": application_name,
        }
        self._engine = create_engine(
            self._url,
            pool_size=pool_size,
            max_overflow=pool_size,
            pool_timeout=_POOL_SECONDS,
            pool_pre_ping=True,
            pool_use_lifo=True,
            creator=lambda: self._connect(self._options),
        )

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """One unit of work: committed at a clean exit, rolled back at any exception.

        Raises:
            Problem: `unavailable` when the database cannot be reached, is shutting down, has no
                connection to spare or gave up on a lock; nothing is then known to be written.
                `invalid_request` for text that Postgres cannot hold (NUL characters).
        """
        try:
            with Session(self._engine, expire_on_commit=False) as session, session.begin():
                yield session
        except exc.TimeoutError as error:
            raise _unavailable("every connection to the database is in use") from error
        except exc.DBAPIError as error:
            problem = _problem_of(error)
            if problem is None:
                raise
            raise problem from error

    def _connect(self, options: dict[str, Any]) -> PatientConnection:
        return PatientConnection.within(self._answer_seconds, _libpq_url(self._url), **options)

    def ping(self) -> None:
        """Raises Problem `unavailable` unless the database answers."""
        with self.transaction() as session:
            session.execute(text("SELECT 1"))

    def dispose(self) -> None:
        """Closes the idle connections; the next use opens new ones."""
        self._engine.dispose()

    @contextmanager
    def listen(self, channels: Sequence[str]) -> Iterator[Listener]:
        """Listens on a connection of its own until the block ends.

        What was notified before is not heard, so read the present state first. Reconnecting is
        the caller's: on Problem `unavailable`, listen anew and read the state again.
        """
        try:
            name = f"{self._options['application_name']}-listen"
            connection = self._connect({**self._options, "application_name": name})
            connection.autocommit = True
        except psycopg.Error as error:
            raise _unavailable("the database does not accept connections") from error
        try:
            try:
                for channel in channels:
                    connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
            except psycopg.Error as error:
                raise _unavailable("the connection to the database was lost") from error
            yield Listener(connection)
        finally:
            connection.close()


class Listener:
    """What `Database.listen` gives. For one thread at a time."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection

    def wait(self, timeout: float) -> list[tuple[str, str]]:
        """Waits for notifications.

        Returns:
            (channel, payload) of every one that has come, as soon as there is one; empty after
            `timeout` seconds without any.

        Raises:
            Problem: `unavailable` when the connection is lost.
        """
        deadline = time.monotonic() + max(timeout, 0.0)
        heard: list[tuple[str, str]] = []
        try:
            for note in self._connection.notifies(
                timeout=max(deadline - time.monotonic(), 0.0), stop_after=1
            ):
                heard.append((note.channel, note.payload))
            if heard:
                # whatever else has arrived meanwhile, without waiting for more
                for note in self._connection.notifies(timeout=0.0):
                    heard.append((note.channel, note.payload))
        except (psycopg.Error, OSError) as error:
            raise _unavailable("the connection to the database was lost") from error
        return heard


def driver_url(url: str) -> URL:
    """The URL with the driver that we use named in it. Raises ValueError for another server."""
    try:
        parsed = make_url(url)
    except exc.ArgumentError as error:
        raise ValueError("the database URL cannot be read; use postgresql://…") from error
    if parsed.get_backend_name() not in {"postgresql", "postgres"}:
        raise ValueError(f"the ledger needs Postgres, not {parsed.get_backend_name()!r}")
    return parsed.set(drivername="postgresql+psycopg")


def _libpq_url(url: URL) -> str:
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


def _problem_of(error: exc.DBAPIError) -> Problem | None:
    """What a driver's error means to a caller; None for a fault of ours."""
    cause = error.orig
    if isinstance(cause, psycopg.errors.DataError):
        return Problem(
            "invalid_request",
            "the request holds text or numbers that cannot be stored: "
            f"{str(cause).splitlines()[0]}",
        )
    if error.connection_invalidated or isinstance(
        cause, psycopg.OperationalError | psycopg.InterfaceError
    ):
        return _unavailable("the database did not answer")
    if isinstance(cause, psycopg.errors.ReadOnlySqlTransaction):
        return _unavailable("the database is read-only at the moment")
    return None


def _unavailable(detail: str) -> Problem:
    return Problem("unavailable", f"{detail}; try again in a moment", headers={"Retry-After": "2"})
