"""Projects: names under which everything else lives; made on first use."""

from __future__ import annotations

from sqlalchemy.orm import Session

from service.ledger.sqltext import rows, run


def ensure(session: Session, name: str) -> None:
    """Makes the project unless it exists."""
    run(session, "INSERT INTO projects (name) VALUES (:name) ON CONFLICT DO NOTHING", name=name)


def names(session: Session) -> list[str]:
    """Every project, sorted."""
    return [row["name"] for row in rows(session, "SELECT name FROM projects ORDER BY name")]
