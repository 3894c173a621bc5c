"""Who did what: an append-only list for administrators."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session

from service.ledger.sqltext import json, run


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
