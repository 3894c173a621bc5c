"""Objects: which bytes are known by their digest, who brought them and what refers to them.

The bytes themselves lie in the store. A key may see an object that it uploaded, or that
something in a project of its own refers to; knowing a digest alone gives nothing.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy.orm import Session

from service.ledger.records import KeyRecord, ObjectRecord
from service.ledger.sqltext import record as read_record
from service.ledger.sqltext import run

_DAMAGE_CHARACTERS: Final = 500


def record(session: Session, digest: str, size: int, key_id: str | None) -> ObjectRecord:
    """Notes that the store holds these bytes, and that `key_id` (None: a worker) brought them."""
    note(session, digest, size)
    if key_id is not None:
        run(
            session,
            "INSERT INTO object_uploads (digest, key_id) VALUES (:digest, :key_id)"
            " ON CONFLICT DO NOTHING",
            digest=digest,
            key_id=key_id,
        )
    found = get(session, digest)
    if found is None:
        raise LookupError(f"{digest} was just recorded")
    return found


def note(session: Session, digest: str, size: int | None = None) -> None:
    """Notes that the store holds these bytes, verified; a size known before stays."""
    run(
        session,
        "INSERT INTO objects (digest, size) VALUES (:digest, CAST(:size AS bigint))"
        " ON CONFLICT (digest) DO UPDATE SET size = coalesce(objects.size, EXCLUDED.size),"
        " damaged_at = NULL, damage = NULL"
        " WHERE objects.damaged_at IS NOT NULL"
        " OR objects.size IS NULL AND EXCLUDED.size IS NOT NULL",
        digest=digest,
        size=size,
    )


def mark_damaged(session: Session, digest: str, damage: str) -> bool:
    """Puts an object in quarantine until its bytes are written anew: what was found, and when.

    Returns:
        Whether that was news.
    """
    return bool(
        run(
            session,
            "UPDATE objects SET damaged_at = now(), damage = :damage"
            " WHERE digest = :digest AND damaged_at IS NULL",
            digest=digest,
            damage=damage[:_DAMAGE_CHARACTERS],
        ).rowcount
    )


def get(session: Session, digest: str) -> ObjectRecord | None:
    """The object, if it is recorded with its size and not in quarantine."""
    return read_record(
        session,
        ObjectRecord,
        "SELECT * FROM objects WHERE digest = :digest AND size IS NOT NULL AND damaged_at IS NULL",
        digest=digest,
    )


def link(session: Session, digest: str, project: str, entity_id: str, role: str) -> None:
    """Notes that something in a project refers to an object, which must be recorded."""
    run(
        session,
        "INSERT INTO object_links (digest, project, entity_id, role)"
        " VALUES (:digest, :project, :entity_id, :role) ON CONFLICT DO NOTHING",
        digest=digest,
        project=project,
        entity_id=entity_id,
        role=role,
    )


def visible(session: Session, digest: str, key: KeyRecord) -> bool:
    """Whether the key uploaded the object, or may read a project that refers to it."""
    return bool(
        run(
            session,
            "SELECT EXISTS (SELECT FROM object_uploads"
            "               WHERE digest = :digest AND key_id = :key_id)"
            " OR EXISTS (SELECT FROM object_links WHERE digest = :digest"
            "            AND (CAST(:projects AS text[]) IS NULL OR project = ANY(:projects)))",
            digest=digest,
            key_id=key.id,
            projects=None if key.projects is None else [*key.projects],
        ).scalar_one()
    )
