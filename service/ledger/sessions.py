"""Sessions of people in browsers: opened, recognised and ended. Only a hash is stored.

A session ends with its key, after a while without use, and after its longest time whatever
happens.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import Final

from sqlalchemy.orm import Session

from service.ledger.ids import new_id
from service.ledger.records import KeyRecord, SessionRecord, from_row
from service.ledger.sqltext import one, record, run

#: So that a transaction stays short.
_FORGOTTEN_AT_ONCE: Final = 1000


def create(
    session: Session, key_id: str, *, idle_seconds: int, longest_seconds: int
) -> tuple[SessionRecord, str]:
    """A new session and its secret, which has 256 random bits and cannot be had again."""
    secret = secrets.token_urlsafe(32)
    made = one(
        session,
        SessionRecord,
        "INSERT INTO sessions (id, secret_hash, key_id, idle_until, expires_at) VALUES"
        " (:id, :secret_hash, :key_id,"
        " now() + make_interval(secs => least(:idle, :longest)),"
        " now() + make_interval(secs => :longest)) RETURNING *",
        id=new_id("ses"),
        secret_hash=_hash(secret),
        key_id=key_id,
        idle=idle_seconds,
        longest=longest_seconds,
    )
    return made, secret


def authenticate(
    session: Session, secret: str, *, idle_seconds: int
) -> tuple[SessionRecord, KeyRecord] | None:
    """The session that this is the secret of, and its key, unless either has ended.

    Notes the use, at most once a minute.
    """
    row = run(
        session,
        "SELECT s.*, s.last_seen_at < now() - interval '1 minute' AS note_use"
        " FROM sessions s JOIN api_keys k ON k.id = s.key_id"
        " WHERE s.secret_hash = :secret_hash AND s.idle_until > now() AND s.expires_at > now()"
        " AND k.revoked_at IS NULL AND coalesce(k.expires_at > now(), true)",
        secret_hash=_hash(secret),
    )
    found = row.mappings().one_or_none()
    if found is None:
        return None
    if found["note_use"]:
        # two requests at once need not queue up to note the same minute
        run(
            session,
            "UPDATE sessions SET last_seen_at = now(),"
            " idle_until = least(now() + make_interval(secs => :idle), expires_at) WHERE id ="
            " (SELECT id FROM sessions WHERE id = :id FOR NO KEY UPDATE SKIP LOCKED)",
            id=found["id"],
            idle=idle_seconds,
        )
    key = one(session, KeyRecord, "SELECT * FROM api_keys WHERE id = :id", id=found["key_id"])
    return from_row(SessionRecord, found), key


def end(session: Session, secret: str) -> SessionRecord | None:
    """Ends the session that this is the secret of, if it is one."""
    return record(
        session,
        SessionRecord,
        "DELETE FROM sessions WHERE secret_hash = :secret_hash RETURNING *",
        secret_hash=_hash(secret),
    )


def end_of_key(session: Session, key_id: str) -> int:
    """Ends every session of a key; how many there were."""
    return run(session, "DELETE FROM sessions WHERE key_id = :key_id", key_id=key_id).rowcount


def forget_ended(session: Session) -> None:
    """Deletes sessions that are over, without waiting for anybody."""
    run(
        session,
        "DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE idle_until < now()"
        " ORDER BY idle_until LIMIT :most FOR UPDATE SKIP LOCKED)",
        most=_FORGOTTEN_AT_ONCE,
    )


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
