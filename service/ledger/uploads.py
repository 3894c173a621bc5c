"""Multipart uploads on their way straight to the store."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy.orm import Session

from service.domain.problems import Problem
from service.ledger.records import UploadRecord
from service.ledger.sqltext import one, record, records


def create(
    session: Session,
    *,
    identity: str,
    digest: str,
    size: int,
    part_size: int,
    s3_upload_id: str,
    key_id: str,
) -> UploadRecord:
    """Notes an upload that the store has begun under the id `identity` (`upl_…`)."""
    return one(
        session,
        UploadRecord,
        "INSERT INTO uploads (id, digest, size, part_size, s3_upload_id, key_id)"
        " VALUES (:id, :digest, :size, :part_size, :s3_upload_id, :key_id) RETURNING *",
        id=identity,
        digest=digest,
        size=size,
        part_size=part_size,
        s3_upload_id=s3_upload_id,
        key_id=key_id,
    )


def get(session: Session, identity: str) -> UploadRecord | None:
    """The upload of this id."""
    return record(session, UploadRecord, "SELECT * FROM uploads WHERE id = :id", id=identity)


def complete(session: Session, identity: str) -> UploadRecord:
    """Ends an upload whose bytes were verified. Completing it twice is no fault.

    Raises:
        Problem: `not_found`, or `conflict` when it was aborted.
    """
    return _end(session, identity, "completed")


def abort(session: Session, identity: str) -> UploadRecord:
    """Gives an upload up; `complete`'s counterpart."""
    return _end(session, identity, "aborted")


def abandoned(session: Session, older_than: timedelta, limit: int = 100) -> list[UploadRecord]:
    """Open uploads begun that long ago, oldest first: the store still holds their parts."""
    return records(
        session,
        UploadRecord,
        "SELECT * FROM uploads WHERE state = 'open' AND created_at < now() - :older_than"
        " ORDER BY created_at LIMIT :most",
        older_than=older_than,
        most=limit,
    )


def _end(session: Session, identity: str, state: str) -> UploadRecord:
    values: dict[str, Any] = {"id": identity, "state": state}
    ended = record(
        session,
        UploadRecord,
        "UPDATE uploads SET state = :state WHERE id = :id AND state IN ('open', :state)"
        " RETURNING *",
        **values,
    )
    if ended is None:
        present = get(session, identity)
        if present is None:
            raise Problem("not_found", f"there is no upload {identity}")
        raise Problem("conflict", f"upload {identity} is {present.state} already")
    return ended
