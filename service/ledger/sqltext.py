"""Runs a statement and reads records from it; the small print of raw SQL in one place.

States are written as literals in the statements and not as parameters: only so can Postgres use
the partial indexes that hold live rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, TypeVar

from psycopg.types.json import Jsonb
from sqlalchemy import CursorResult, TextClause, text
from sqlalchemy.orm import Session

from service.ledger.records import from_row

T = TypeVar("T")


@cache
def _statement(sql: str) -> TextClause:
    return text(sql)


def run(session: Session, sql: str, /, **values: Any) -> CursorResult[Any]:
    """Executes one statement; `:name` takes a value."""
    result = session.execute(_statement(sql), values)
    assert isinstance(result, CursorResult)  # noqa: S101 (what text() always yields)
    return result


def rows(session: Session, sql: str, /, **values: Any) -> list[Mapping[Any, Any]]:
    """All rows, as mappings."""
    return [dict(row) for row in run(session, sql, **values).mappings()]


def records(session: Session, record: type[T], sql: str, /, **values: Any) -> list[T]:
    """All rows, as records."""
    return [from_row(record, row) for row in run(session, sql, **values).mappings()]


def record(session: Session, kind: type[T], sql: str, /, **values: Any) -> T | None:
    """The only row, or None. Raises sqlalchemy's MultipleResultsFound for more."""
    row = run(session, sql, **values).mappings().one_or_none()
    return None if row is None else from_row(kind, row)


def one(session: Session, kind: type[T], sql: str, /, **values: Any) -> T:
    """The only row; it must be there. Raises sqlalchemy's NoResultFound otherwise."""
    return from_row(kind, run(session, sql, **values).mappings().one())


def json(value: Any) -> Jsonb | None:
    """A value for a jsonb column; None is SQL's NULL."""
    if value is None:
        return None
    return Jsonb(_plain(value))


def _plain(value: Any) -> Any:
    """Mappings and sequences of any kind as JSON's own."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_plain(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted(_plain(item) for item in value)
    return value
