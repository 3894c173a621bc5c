"""Multipart uploads on their way straight to the store, and how many may be so at once.

What is begun and not completed is counted for all keys of the same projects together: whoever has
one of them could have another made.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from sqlalchemy.orm import Session

from service.domain.problems import Problem
from service.ledger.records import KeyRecord, UploadRecord
from service.ledger.sqltext import one, record, records, rows, run

#: Any number does that nobody else locks; spells "upls".
_QUOTA_LOCK: Final = 0x75706C73
#: Uploads named to a caller who has too many.
_NAMED: Final = 5


@dataclass(frozen=True)
class Quota:
    """What keys of the same projects may have open: uploads, and bytes announced by them."""

    count: int
    bytes: int


def require_room(session: Session, key: KeyRecord, size: int, quota: Quota) -> None:
    """Raises Problem `quota_exceeded` unless an upload of `size` bytes may be begun now.

    Holds off the other keys of these projects until the transaction ends. Where nothing is open,
    one may begin, however large.
    """
    projects = None if key.projects is None else [*key.projects]
    run(
        session,
        "SELECT pg_advisory_xact_lock(:lock, hashtext(CAST(CAST(:projects AS text[]) AS text)))"
        if projects is not None
        else "SELECT pg_advisory_xact_lock(:lock, 0)",
        lock=_QUOTA_LOCK,
        **({} if projects is None else {"projects": projects}),
    )
    (found,) = rows(
        session,
        "SELECT count(*) AS count, coalesce(sum(u.size), 0) AS bytes,"
        " (array_agg(u.id ORDER BY u.id) FILTER (WHERE u.key_id = :key_id)) AS own"
        " FROM uploads u JOIN api_keys k ON k.id = u.key_id"
        " WHERE u.state = 'open' AND k.projects IS NOT DISTINCT FROM CAST(:projects AS text[])",
        key_id=key.id,
        projects=projects,
    )
    count, begun = int(found["count"]), int(found["bytes"])
    if count < quota.count and (not count or begun + size <= quota.bytes):
        return
    own = [*(found["own"] or ())]
    named = ", ".join(own[:_NAMED]) + (" and others" if len(own) > _NAMED else "")
    whose = "all projects" if projects is None else f"projects {', '.join(projects[:_NAMED])}"
    raise Problem(
        "quota_exceeded",
        f"{count} uploads of {begun} bytes are open by keys of {whose}; at most {quota.count} of "
        f"{quota.bytes} bytes may be. Complete or DELETE some"
        f"{f', such as this key’s {named}' if own else ''}, or wait: what nobody completes is "
        "given up",
        pointer="/size" if count < quota.count else None,
        headers={"Retry-After": "30"},
    )


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


def still_open(session: Session, after: str, limit: int) -> list[UploadRecord]:
    """Open uploads whose ids come after `after`, in the ids' order."""
    return records(
        session,
        UploadRecord,
        "SELECT * FROM uploads WHERE state = 'open' AND id > :after ORDER BY id LIMIT :most",
        after=after,
        most=limit,
    )


def open_among(session: Session, identities: Collection[str]) -> frozenset[str]:
    """Those of these uploads that are open."""
    found = rows(
        session,
        "SELECT id FROM uploads WHERE state = 'open' AND id = ANY(:identities)",
        identities=[*identities],
    )
    return frozenset(str(row["id"]) for row in found)


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
