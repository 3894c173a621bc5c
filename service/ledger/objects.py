"""Objects: which bytes are known by their digest, who brought them and what refers to them.

The bytes themselves lie in the store. A key may see an object that it uploaded, or that
something in a project of its own refers to; knowing a digest alone gives nothing. Nor does bringing
bytes tell whether, or since when, others have them: equal bytes are stored once, and each key is
answered as if they were its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy.orm import Session

from service.domain.ids import unix_milliseconds_of
from service.ledger.records import KeyRecord, ObjectRecord
from service.ledger.sqltext import rows, run

_DAMAGE_CHARACTERS: Final = 500


def record(session: Session, digest: str, size: int, key: KeyRecord) -> ObjectRecord:
    """Notes that the store holds these bytes, and that the key brought them."""
    note(session, digest, size)
    run(
        session,
        "INSERT INTO object_uploads (digest, key_id) VALUES (:digest, :key_id)"
        " ON CONFLICT DO NOTHING",
        digest=digest,
        key_id=key.id,
    )
    found = seen(session, digest, key)
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


def seen(session: Session, digest: str, key: KeyRecord) -> ObjectRecord | None:
    """The object, if its size is known, it is not in quarantine and the key may see it.

    It may if it uploaded the object, or if it may read a project that refers to it. `created_at` is
    since when: what happened in other projects before is none of the key's business.
    """
    found = rows(
        session,
        "SELECT o.digest, o.size, u.at AS uploaded_at, l.entity_id AS linked"
        " FROM objects o"
        " LEFT JOIN object_uploads u ON u.digest = o.digest AND u.key_id = :key_id"
        # ids grow; their first four characters are the kind
        " LEFT JOIN LATERAL (SELECT entity_id FROM object_links l WHERE l.digest = o.digest"
        "   AND (CAST(:projects AS text[]) IS NULL OR project = ANY(:projects))"
        '   ORDER BY substr(entity_id, 5) COLLATE "C" LIMIT 1) l ON true'
        " WHERE o.digest = :digest AND o.size IS NOT NULL AND o.damaged_at IS NULL",
        digest=digest,
        key_id=key.id,
        projects=None if key.projects is None else [*key.projects],
    )
    moments = [moment for row in found for moment in _moments(row)]
    if not moments:
        return None
    return ObjectRecord(digest=digest, size=int(found[0]["size"]), created_at=min(moments))


def _moments(row: Mapping[Any, Any]) -> Iterator[datetime]:
    if row["uploaded_at"] is not None:
        yield row["uploaded_at"]
    if row["linked"] is not None:
        milliseconds = timedelta(milliseconds=unix_milliseconds_of(str(row["linked"])))
        yield datetime(1970, 1, 1, tzinfo=UTC) + milliseconds
