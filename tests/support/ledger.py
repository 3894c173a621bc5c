"""Looks into the ledger that only tests take: the product never asks for these."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from service.ledger.records import UnitRecord
from service.ledger.sqltext import record, records, rows


@dataclass(frozen=True)
class AuditRecord:
    id: int
    at: datetime
    key_id: str | None
    action: str
    entity_id: str
    data: dict[str, Any]


def audit_of(session: Session, entity_id: str) -> list[AuditRecord]:
    """What happened to one thing, in order."""
    return records(
        session,
        AuditRecord,
        "SELECT * FROM audit WHERE entity_id = :entity_id ORDER BY id",
        entity_id=entity_id,
    )


def project_names(session: Session) -> Sequence[str]:
    """Every project, sorted."""
    return [row["name"] for row in rows(session, "SELECT name FROM projects ORDER BY name")]


def unit_of(session: Session, identity: str) -> UnitRecord | None:
    """The unit of this id."""
    return record(session, UnitRecord, "SELECT * FROM units WHERE id = :id", id=identity)


def units_of(session: Session, job_id: str) -> list[UnitRecord]:
    """All units of a job, by kind and then in order of work."""
    return records(
        session,
        UnitRecord,
        "SELECT * FROM units WHERE job_id = :job_id ORDER BY kind, seq",
        job_id=job_id,
    )
