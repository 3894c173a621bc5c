"""API keys: made, checked and revoked. The secret is shown once and never stored.

A secret is `la_<the id's body>_<256 random bits>`. Being random in full, its plain sha256 is as
hard to invert as the secret is to guess, so no slow hash is spent on every request.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Collection
from datetime import datetime
from typing import Final

from sqlalchemy.orm import Session

from service.domain.ids import is_id
from service.domain.problems import Problem
from service.ledger.ids import new_id
from service.ledger.paging import DEFAULT_LIMIT, bounded, cut, decode
from service.ledger.records import KeyRecord, Page, Role
from service.ledger.sqltext import one, record, records, run

_MARK: Final = "la"
#: Any number does that nobody else locks; spells "keys".
_FIRST_KEY_LOCK: Final = 0x6B657973


def create(
    session: Session,
    *,
    name: str,
    role: Role,
    projects: Collection[str] | None,
    expires_at: datetime | None,
    created_by: str | None,
    can_promote: bool = False,
) -> tuple[KeyRecord, str]:
    """Makes a key.

    Args:
        projects: those it may touch; None for all.
        can_promote: whether it may move aliases; an administrator's may without this.

    Returns:
        The key and its secret, which cannot be had again.
    """
    identity = new_id("key")
    secret = f"{_MARK}_{identity.partition('_')[2]}_{secrets.token_urlsafe(32)}"
    made = one(
        session,
        KeyRecord,
        "INSERT INTO api_keys (id, name, secret_hash, role, projects, can_promote, expires_at,"
        " created_by) VALUES (:id, :name, :secret_hash, :role, CAST(:projects AS text[]),"
        " :can_promote, :expires_at, :created_by) RETURNING *",
        id=identity,
        name=name,
        secret_hash=_hash(secret),
        role=role,
        projects=None if projects is None else sorted(set(projects)),
        can_promote=can_promote,
        expires_at=expires_at,
        created_by=created_by,
    )
    return made, secret


def authenticate(session: Session, secret: str) -> KeyRecord | None:
    """The key that this is the secret of, unless it is expired or revoked.

    Compares in constant time. Notes the use, at most once a minute.
    """
    parts = secret.split("_", 2)
    if len(parts) != 3 or parts[0] != _MARK or not is_id("key", f"key_{parts[1]}"):
        return None
    row = run(
        session,
        "SELECT id, secret_hash,"
        " revoked_at IS NULL AND coalesce(expires_at > now(), true) AS valid,"
        " coalesce(last_used_at < now() - interval '1 minute', true) AS note_use"
        " FROM api_keys WHERE id = :id",
        id=f"key_{parts[1]}",
    ).mappings()
    found = row.one_or_none()
    # an unknown id costs the same comparison as a known one
    expected = bytes(32) if found is None else bytes(found["secret_hash"])
    matches = hmac.compare_digest(expected, _hash(secret))
    if found is None or not matches or not found["valid"]:
        return None
    if found["note_use"]:
        # two requests at once need not queue up to note the same minute
        run(
            session,
            "UPDATE api_keys SET last_used_at = now() WHERE id ="
            " (SELECT id FROM api_keys WHERE id = :id FOR NO KEY UPDATE SKIP LOCKED)",
            id=found["id"],
        )
    return get(session, found["id"])


def get(session: Session, identity: str) -> KeyRecord | None:
    """The key of this id."""
    return record(
        session,
        KeyRecord,
        "SELECT * FROM api_keys WHERE id = :id",
        id=identity,
    )


def revoke(session: Session, identity: str) -> KeyRecord:
    """Ends a key for good; doing it again changes nothing. Raises Problem `not_found`."""
    revoked = record(
        session,
        KeyRecord,
        "UPDATE api_keys SET revoked_at = coalesce(revoked_at, now()) WHERE id = :id RETURNING *",
        id=identity,
    )
    if revoked is None:
        raise Problem("not_found", f"there is no API key {identity}")
    return revoked


def list(
    session: Session, *, cursor: str | None = None, limit: int = DEFAULT_LIMIT
) -> Page[KeyRecord]:
    """Every key, newest first, revoked ones included."""
    before = decode(cursor, str)[0] if cursor else None
    found = records(
        session,
        KeyRecord,
        "SELECT * FROM api_keys"
        " WHERE (CAST(:before AS text) IS NULL OR id < :before) ORDER BY id DESC LIMIT :most",
        before=before,
        most=bounded(limit) + 1,
    )
    return cut(found, limit, lambda key: (key.id,))


def ensure_first(session: Session) -> str | None:
    """The secret of an administrator's key if there is no key at all yet; None otherwise.

    Safe when several processes start at once: one of them makes the key.
    """
    run(session, "SELECT pg_advisory_xact_lock(:lock)", lock=_FIRST_KEY_LOCK)
    if run(session, "SELECT 1 FROM api_keys LIMIT 1").first() is not None:
        return None
    _, secret = create(
        session, name="first", role="admin", projects=None, expires_at=None, created_by=None
    )
    return secret


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
