"""Trusts in CI systems, and the tokens that were exchanged: each of them once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy.orm import Session

from service.domain.problems import Problem
from service.ledger.ids import new_id
from service.ledger.paging import DEFAULT_LIMIT, bounded, cut, decode
from service.ledger.records import Page, Role, TrustRecord
from service.ledger.sqltext import json, one, record, records, run


def create(
    session: Session,
    *,
    issuer: str,
    audience: str,
    project: str,
    role: Role,
    claims: Mapping[str, str],
    created_by: str,
) -> TrustRecord:
    """Keeps a trust in a project that exists."""
    return one(
        session,
        TrustRecord,
        "INSERT INTO trusts (id, issuer, audience, project, role, claims, created_by) VALUES"
        " (:id, :issuer, :audience, :project, :role, :claims, :created_by) RETURNING *",
        id=new_id("tru"),
        issuer=issuer,
        audience=audience,
        project=project,
        role=role,
        claims=json(claims),
        created_by=created_by,
    )


def get(session: Session, identity: str) -> TrustRecord | None:
    """The trust of this id."""
    return record(session, TrustRecord, "SELECT * FROM trusts WHERE id = :id", id=identity)


def live(session: Session, issuer: str) -> Sequence[TrustRecord]:
    """Those in an issuer that are not revoked, oldest first."""
    return records(
        session,
        TrustRecord,
        "SELECT * FROM trusts WHERE issuer = :issuer AND revoked_at IS NULL ORDER BY id",
        issuer=issuer,
    )


def list(
    session: Session, *, cursor: str | None = None, limit: int = DEFAULT_LIMIT
) -> Page[TrustRecord]:
    """Every trust, newest first, revoked ones included."""
    before = decode(cursor, str)[0] if cursor else None
    found = records(
        session,
        TrustRecord,
        "SELECT * FROM trusts"
        " WHERE (CAST(:before AS text) IS NULL OR id < :before) ORDER BY id DESC LIMIT :most",
        before=before,
        most=bounded(limit) + 1,
    )
    return cut(found, limit, lambda trust: (trust.id,))


def revoke(session: Session, identity: str) -> TrustRecord:
    """Ends a trust, and every key that came of it; doing it again changes nothing.

    Raises:
        Problem: `not_found`.
    """
    revoked = record(
        session,
        TrustRecord,
        "UPDATE trusts SET revoked_at = coalesce(revoked_at, now()) WHERE id = :id RETURNING *",
        id=identity,
    )
    if revoked is None:
        raise Problem("not_found", f"there is no trust {identity}")
    run(
        session,
        "UPDATE api_keys SET revoked_at = now() WHERE trust_id = :id AND revoked_at IS NULL",
        id=identity,
    )
    return revoked


def still_live(session: Session, identity: str) -> bool:
    """Whether a trust is not revoked; it stays so until the transaction ends."""
    found = run(
        session,
        "SELECT 1 FROM trusts WHERE id = :id AND revoked_at IS NULL FOR SHARE",
        id=identity,
    )
    return found.first() is not None


def bind_key(session: Session, key_id: str, trust_id: str) -> None:
    """Says that a key came of a trust, and ends with it."""
    run(
        session,
        "UPDATE api_keys SET trust_id = :trust_id WHERE id = :id",
        id=key_id,
        trust_id=trust_id,
    )


def spend(session: Session, issuer: str, jti: str, expires_at: datetime) -> bool:
    """Notes a token's id until the token has expired; False if it was noted before.

    Of two transactions with the same token the second waits for the first.
    """
    run(
        session,
        "DELETE FROM spent_tokens WHERE (issuer, jti) IN (SELECT issuer, jti FROM spent_tokens"
        " WHERE expires_at < now() - interval '5 minutes' ORDER BY expires_at LIMIT 1000"
        " FOR UPDATE SKIP LOCKED)",
    )
    added = run(
        session,
        "INSERT INTO spent_tokens (issuer, jti, expires_at) VALUES (:issuer, :jti, :expires_at)"
        " ON CONFLICT DO NOTHING",
        issuer=issuer,
        jti=jti,
        expires_at=expires_at,
    )
    return added.rowcount == 1
