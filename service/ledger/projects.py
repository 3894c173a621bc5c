"""Projects: names under which everything else lives; made on first use."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.orm import Session

from service.ledger.paging import DEFAULT_LIMIT, bounded, cut, decode
from service.ledger.records import Page, ProjectRecord
from service.ledger.sqltext import record, records, run


def ensure(session: Session, name: str) -> None:
    """Makes the project unless it exists."""
    run(session, "INSERT INTO projects (name) VALUES (:name) ON CONFLICT DO NOTHING", name=name)


def get(session: Session, name: str) -> ProjectRecord | None:
    """The project of this name."""
    return record(session, ProjectRecord, "SELECT * FROM projects WHERE name = :name", name=name)


def set_sharing(session: Session, name: str, sharing: bool) -> ProjectRecord | None:
    """Turns links to figures on or off; None if there is no such project."""
    return record(
        session,
        ProjectRecord,
        "UPDATE projects SET sharing = :sharing WHERE name = :name RETURNING *",
        name=name,
        sharing=sharing,
    )


def list(
    session: Session,
    *,
    projects: Sequence[str] | None,
    cursor: str | None = None,
    limit: int = DEFAULT_LIMIT,
) -> Page[ProjectRecord]:
    """Projects by name.

    Args:
        projects: those that may be seen; None for all.
    """
    after = decode(cursor, str)[0] if cursor else None
    found = records(
        session,
        ProjectRecord,
        "SELECT * FROM projects WHERE"
        " (CAST(:projects AS text[]) IS NULL OR name = ANY (CAST(:projects AS text[])))"
        " AND (CAST(:after AS text) IS NULL OR name > :after) ORDER BY name LIMIT :most",
        projects=None if projects is None else [*projects],
        after=after,
        most=bounded(limit) + 1,
    )
    return cut(found, limit, lambda project: (project.name,))
