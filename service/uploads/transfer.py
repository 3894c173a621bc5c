"""Use cases of uploads: begin, complete once verified, give up.

The bytes go from the caller straight to the store; nothing is an object before the store's copy
has been read and its digest found right.
"""

from __future__ import annotations

from typing import Final

from service.domain.problems import Problem
from service.http.services import Services
from service.inputs.lookup import Caller
from service.ledger import objects, uploads
from service.ledger.ids import new_id
from service.ledger.records import UploadRecord
from service.store.keys import upload_key

#: S3's limit on the parts of one upload.
MOST_PARTS: Final = 10_000


def begin(services: Services, caller: Caller, digest: str, size: int) -> UploadRecord:
    """Begins an upload.

    Raises:
        Problem: `body_too_large` above the service's limit, `quota_exceeded` where too much is open
            already.
    """
    settings = services.settings
    if size > settings.max_object_bytes:
        raise Problem(
            "body_too_large",
            f"an object may have {settings.max_object_bytes} bytes here",
            pointer="/size",
        )
    quota = uploads.Quota(settings.open_uploads, settings.open_upload_bytes)
    with services.database.transaction() as session:
        # before the store is asked for anything; what counts is the look below
        uploads.require_room(session, caller.key, size, quota)
    identity = new_id("upl")
    s3_upload_id = services.store.begin_upload(upload_key(identity))
    try:
        with services.database.transaction() as session:
            uploads.require_room(session, caller.key, size, quota)
            return uploads.create(
                session,
                identity=identity,
                digest=digest,
                size=size,
                part_size=max(settings.upload_part_bytes, -(-size // MOST_PARTS)),
                s3_upload_id=s3_upload_id,
                key_id=caller.key.id,
            )
    except BaseException:
        # nobody would ever know of it
        services.store.abort_upload(upload_key(identity), s3_upload_id)
        raise


def find(services: Services, caller: Caller, identity: str) -> UploadRecord:
    """An upload of this key. Raises Problem `not_found`."""
    with services.database.transaction() as session:
        found = uploads.get(session, identity)
    if found is None or found.key_id != caller.key.id:
        raise Problem("not_found", f"there is no upload {identity} of this key")
    return found


def complete(services: Services, caller: Caller, identity: str) -> UploadRecord:
    """Verifies what was sent and makes it an object. Doing so again changes nothing.

    Raises:
        Problem: `not_found`; `conflict` when it was given up; `upload_incomplete` while parts are
            missing; `digest_mismatch`, and the upload is over.
    """
    upload = find(services, caller, identity)
    if upload.state == "completed":
        return upload
    if upload.state == "aborted":
        raise Problem("conflict", f"upload {identity} is over; begin a new one")
    try:
        services.store.complete_upload(
            upload_key(upload.id), upload.s3_upload_id, digest=upload.digest, size=upload.size
        )
    except Problem as problem:
        if problem.code in ("digest_mismatch", "conflict"):
            with services.database.transaction() as session:
                present = uploads.get(session, upload.id)
                if present is not None and present.state == "completed":
                    return present  # by the same request sent twice
                uploads.abort(session, upload.id)
        raise
    with services.database.transaction() as session:
        objects.record(session, upload.digest, upload.size, caller.key)
        return uploads.complete(session, upload.id)


def abort(services: Services, caller: Caller, identity: str) -> UploadRecord:
    """Gives an upload up, parts and all. Raises Problem `not_found`, `conflict` if completed."""
    upload = find(services, caller, identity)
    with services.database.transaction() as session:
        ended = uploads.abort(session, upload.id)
    services.store.abort_upload(upload_key(upload.id), upload.s3_upload_id)
    return ended
