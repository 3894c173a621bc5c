"""Who did what: an append-only list for administrators."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session

from service.ledger.records import AuditRecord
from service.ledger.sqltext import json, records, run


def record(
    session: Session,
    *,
    key_id: str | None,
    action: str,
    entity_id: str,
    data: Mapping[str, Any] | None = None,
) -> None:
    """Notes an action in the transaction that performs it."""
    run(
        session,
        "INSERT INTO audit (key_id, action, entity_id, data)"
        " VALUES (:key_id, :action, :entity_id, :data)",
        key_id=key_id,
        action=action,
        entity_id=entity_id,
        data=json(data or {}),
    )


def of_entity(session: Session, entity_id: str) -> list[AuditRecord]:
    """What happened to one thing, in order."""
    return records(
        session,
        AuditRecord,
        "SELECT * FROM audit WHERE entity_id = :entity_id ORDER BY id",
        entity_id=entity_id,
    )
