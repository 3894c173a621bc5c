"""Use cases of API keys. Everything that is done to a key is on record."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime

from service.domain.problems import Problem
from service.ledger import audit, keys
from service.ledger.records import KeyRecord, Role
from service.ledger.session import Session


def make(
    session: Session,
    *,
    name: str,
    role: Role,
    projects: Collection[str] | None,
    expires_at: datetime | None,
    by: str | None,
    can_promote: bool = False,
) -> tuple[KeyRecord, str]:
    """A new key and its secret.

    Args:
        by: the administrator's key; None on the machine itself.
        can_promote: whether it may move aliases.

    Raises:
        Problem: `invalid_request` for an expiry that has passed, an administrator's key of a
            few projects, which could make itself one of all, or a reader that may move aliases.
    """
    if expires_at is not None and expires_at <= datetime.now(UTC):
        raise Problem("invalid_request", "must lie in the future", pointer="/expires_at")
    if role == "admin" and projects is not None:
        raise Problem(
            "invalid_request",
            "an administrator's key is one of all projects; leave projects out",
            pointer="/projects",
        )
    if role == "reader" and can_promote:
        raise Problem(
            "invalid_request",
            "a reader changes nothing; give the role submitter, or leave can_promote out",
            pointer="/can_promote",
        )
    key, secret = keys.create(
        session,
        name=name,
        role=role,
        projects=projects,
        expires_at=expires_at,
        created_by=by,
        can_promote=can_promote,
    )
    audit.record(
        session,
        key_id=by,
        action="key.created",
        entity_id=key.id,
        data={
            "name": name,
            "role": role,
            "projects": key.projects,
            **({"can_promote": True} if can_promote else {}),
        },
    )
    return key, secret


def revoke(session: Session, identity: str, by: str) -> KeyRecord:
    """Ends a key. Raises Problem `not_found`, or `conflict` for the caller's own key."""
    if identity == by:
        raise Problem(
            "conflict", "this is the key you are using; revoke it with another administrator's key"
        )
    key = keys.revoke(session, identity)
    audit.record(session, key_id=by, action="key.revoked", entity_id=key.id)
    return key


def get(session: Session, identity: str) -> KeyRecord:
    """The key of this id. Raises Problem `not_found`."""
    key = keys.get(session, identity)
    if key is None:
        raise Problem("not_found", f"there is no API key {identity}")
    return key
