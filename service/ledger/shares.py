"""Links to single figures. Only a hash of their secret is stored.

A link is dead when it has expired, was revoked, or its project does not share.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.orm import Session

from service.ledger.ids import new_id
from service.ledger.paging import DEFAULT_LIMIT, bounded, cut, decode
from service.ledger.records import Page, ShareRecord
from service.ledger.sqltext import json, one, record, records


def create(
    session: Session,
    *,
    landscape_id: str,
    project: str,
    options: Mapping[str, Any],
    seconds: int,
    created_by: str,
) -> tuple[ShareRecord, str]:
    """A link and its secret, which has 256 random bits and cannot be had again."""
    secret = secrets.token_urlsafe(32)
    made = one(
        session,
        ShareRecord,
        "INSERT INTO shares (id, secret_hash, landscape_id, project, options, created_by,"
        " expires_at) VALUES (:id, :secret_hash, :landscape_id, :project, :options, :created_by,"
        " now() + make_interval(secs => :seconds)) RETURNING *",
        id=new_id("shr"),
        secret_hash=_hash(secret),
        landscape_id=landscape_id,
        project=project,
        options=json(options),
        created_by=created_by,
        seconds=seconds,
    )
    return made, secret


def open(session: Session, secret: str) -> ShareRecord | None:
    """The link that this is the secret of, unless it is dead."""
    return record(
        session,
        ShareRecord,
        "SELECT s.* FROM shares s JOIN projects p ON p.name = s.project"
        " WHERE s.secret_hash = :secret_hash AND s.revoked_at IS NULL AND s.expires_at > now()"
        " AND p.sharing",
        secret_hash=_hash(secret),
    )


def get(session: Session, identity: str) -> ShareRecord | None:
    """The link of this id."""
    return record(session, ShareRecord, "SELECT * FROM shares WHERE id = :id", id=identity)


def revoke(session: Session, identity: str) -> ShareRecord:
    """Ends a link that is there; doing it again changes nothing."""
    return one(
        session,
        ShareRecord,
        "UPDATE shares SET revoked_at = coalesce(revoked_at, now()) WHERE id = :id RETURNING *",
        id=identity,
    )


def list(
    session: Session,
    *,
    projects: Sequence[str] | None,
    project: str | None = None,
    cursor: str | None = None,
    limit: int = DEFAULT_LIMIT,
) -> Page[ShareRecord]:
    """Links, newest first, dead ones included.

    Args:
        projects: those whose links may be seen; None for all.
        project: the only one to list.
    """
    before = decode(cursor, str)[0] if cursor else None
    found = records(
        session,
        ShareRecord,
        "SELECT * FROM shares WHERE"
        " (CAST(:projects AS text[]) IS NULL OR project = ANY (CAST(:projects AS text[])))"
        " AND (CAST(:project AS text) IS NULL OR project = :project)"
        " AND (CAST(:before AS text) IS NULL OR id < :before) ORDER BY id DESC LIMIT :most",
        projects=None if projects is None else [*projects],
        project=project,
        before=before,
        most=bounded(limit) + 1,
    )
    return cut(found, limit, lambda share: (share.id,))


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
