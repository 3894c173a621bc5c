"""What people say of things, tags and a note, and the history of every change.

Results never change: the database itself refuses to touch anything else of a landscape.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from sqlalchemy.orm import Session

from service.domain.problems import Problem
from service.ledger.records import EditRecord
from service.ledger.sqltext import json, records, rows, run

Kind = Literal["landscape", "model"]

#: Edits of one thing that are told, the newest.
_SHOWN: Final = 200
_TABLES: Final[dict[Kind, str]] = {"landscape": "landscapes", "model": "models"}


@dataclass(frozen=True)
class Edit:
    """What to change; None leaves it as it is, an empty note takes it away."""

    tags: Collection[str] | None = None
    note: str | None = None


def apply(session: Session, kind: Kind, identity: str, edit: Edit, *, by: str | None) -> None:
    """Changes tags and note, and notes what they were. What is the same already is no edit.

    Raises:
        Problem: `not_found`.
    """
    table = _TABLES[kind]
    found = rows(
        session,
        f"SELECT project, tags, note FROM {table} WHERE id = :id FOR NO KEY UPDATE",  # noqa: S608
        id=identity,
    )
    if not found:
        raise Problem("not_found", f"there is no {kind} {identity}")
    before = found[0]
    tags = [*before["tags"]] if edit.tags is None else sorted(set(edit.tags))
    note = before["note"] if edit.note is None else edit.note.strip() or None
    run(
        session,
        f"UPDATE {table} SET tags = :tags, note = CAST(:note AS text) WHERE id = :id",  # noqa: S608
        id=identity,
        tags=tags,
        note=note,
    )
    changes: list[tuple[str, Any, Any]] = []
    if sorted(before["tags"]) != tags:
        changes.append(("tags", sorted(before["tags"]), tags))
    if before["note"] != note:
        changes.append(("note", before["note"], note))
    for field, was, now in changes:
        run(
            session,
            "INSERT INTO edits (key_id, project, entity_id, field, before, after)"
            " VALUES (:key_id, :project, :entity_id, :field, :before, :after)",
            key_id=by,
            project=before["project"],
            entity_id=identity,
            field=field,
            before=json(was),
            after=json(now),
        )


def of_entity(session: Session, identity: str) -> Sequence[EditRecord]:
    """The newest edits of a thing, newest first."""
    return records(
        session,
        EditRecord,
        "SELECT * FROM edits WHERE entity_id = :entity_id ORDER BY id DESC LIMIT :most",
        entity_id=identity,
        most=_SHOWN,
    )
