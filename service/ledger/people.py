"""People whom an identity provider vouches for. Each has a key that has no secret.

What a person may do is their key's role and projects, set anew at every sign-in; what they did
refers to the key, as with everybody else.
"""

from __future__ import annotations

import secrets

from sqlalchemy.orm import Session

from service.domain.problems import Problem
from service.domain.rights import RightsRule
from service.ledger.ids import new_id
from service.ledger.records import KeyRecord, PersonRecord
from service.ledger.sqltext import one, record, run


def find(session: Session, issuer: str, subject: str) -> PersonRecord | None:
    """The person of this subject; held until the transaction ends, against a second sign-in."""
    run(
        session,
        "SELECT pg_advisory_xact_lock(hashtextextended(:who, 0))",
        who=f"person {issuer} {subject}",
    )
    return record(
        session,
        PersonRecord,
        "SELECT * FROM people WHERE issuer = :issuer AND subject = :subject",
        issuer=issuer,
        subject=subject,
    )


def create(
    session: Session, *, issuer: str, subject: str, name: str, email: str | None, rights: RightsRule
) -> tuple[PersonRecord, KeyRecord]:
    """A person that `find` did not find, and their key."""
    identity = new_id("key")
    key = one(
        session,
        KeyRecord,
        "INSERT INTO api_keys (id, name, secret_hash, role, projects, can_promote) VALUES"
        " (:id, :name, :secret_hash, :role, CAST(:projects AS text[]), :can_promote) RETURNING *",
        id=identity,
        name=name,
        # random, and so the hash of nothing that anybody could send
        secret_hash=secrets.token_bytes(32),
        **_rights(rights),
    )
    person = one(
        session,
        PersonRecord,
        "INSERT INTO people (id, issuer, subject, name, email, key_id)"
        " VALUES (:id, :issuer, :subject, :name, :email, :key_id) RETURNING *",
        id=new_id("psn"),
        issuer=issuer,
        subject=subject,
        name=name,
        email=email,
        key_id=key.id,
    )
    return person, key


def update(
    session: Session, person: PersonRecord, *, name: str, email: str | None, rights: RightsRule
) -> tuple[PersonRecord, KeyRecord]:
    """The person as the provider describes them now.

    Raises:
        Problem: `forbidden` when an administrator has revoked their key.
    """
    key = record(
        session,
        KeyRecord,
        "UPDATE api_keys SET name = :name, role = :role, projects = CAST(:projects AS text[]),"
        " can_promote = :can_promote, last_used_at = now()"
        " WHERE id = :id AND revoked_at IS NULL RETURNING *",
        id=person.key_id,
        name=name,
        **_rights(rights),
    )
    if key is None:
        raise Problem("forbidden", "an administrator has ended this person's access")
    changed = one(
        session,
        PersonRecord,
        "UPDATE people SET name = :name, email = :email, signed_in_at = now() WHERE id = :id"
        " RETURNING *",
        id=person.id,
        name=name,
        email=email,
    )
    return changed, key


def _rights(rights: RightsRule) -> dict[str, object]:
    return {
        "role": rights.role,
        "projects": None if rights.projects is None else sorted(set(rights.projects)),
        "can_promote": rights.can_promote,
    }
