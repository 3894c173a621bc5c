"""HTTP of uploads."""

from __future__ import annotations

from datetime import timedelta

from fastapi import APIRouter, Response, status

from service.domain.ids import UploadId
from service.http.dependencies import Principal, ServicesOf, Submitter
from service.http.documentation import problems
from service.http.services import Services
from service.ledger.records import UploadRecord
from service.store.keys import upload_key
from service.uploads import transfer
from service.uploads.schemas import NewUpload, PartOut, UploadOut

router = APIRouter(tags=["uploads"])


@router.post(
    "/v1/uploads",
    status_code=status.HTTP_201_CREATED,
    summary="Begin an upload in parts",
    responses=problems("invalid_request", "forbidden", "body_too_large", "quota_exceeded"),
)
def begin(
    body: NewUpload, response: Response, services: ServicesOf, caller: Submitter
) -> UploadOut:
    """Answers with an address in the object store for each part; PUT the parts there, several at
    once if you like, and complete the upload. Each address takes its part's very length, with a
    `Content-Length`, and no other. They hold for `expires_in` seconds; GET the upload for fresh
    ones.
    """
    upload = transfer.begin(services, caller, body.digest, body.size)
    response.headers["Location"] = f"/v1/uploads/{upload.id}"
    return shown(services, upload)


@router.get(
    "/v1/uploads/{upload_id}",
    summary="One upload",
    responses=problems("invalid_request", "not_found"),
)
def get(upload_id: UploadId, services: ServicesOf, caller: Principal) -> UploadOut:
    """With fresh addresses for its parts. Only the key that began it may see it."""
    return shown(services, transfer.find(services, caller, upload_id))


@router.post(
    "/v1/uploads/{upload_id}/complete",
    summary="Complete an upload",
    responses=problems(
        "invalid_request",
        "forbidden",
        "not_found",
        "conflict",
        "upload_incomplete",
        "digest_mismatch",
    ),
)
def complete(upload_id: UploadId, services: ServicesOf, caller: Submitter) -> UploadOut:
    """The bytes are read back and verified before they can be used, which takes a while for large
    files. Completing a completed upload changes nothing.
    """
    return shown(services, transfer.complete(services, caller, upload_id))


@router.delete(
    "/v1/uploads/{upload_id}",
    summary="Give an upload up",
    responses=problems("invalid_request", "forbidden", "not_found", "conflict"),
)
def abort(upload_id: UploadId, services: ServicesOf, caller: Submitter) -> UploadOut:
    """Removes what was sent. Uploads that nobody completes are given up, after two days unless the
    service is set otherwise."""
    return shown(services, transfer.abort(services, caller, upload_id))


def shown(services: Services, upload: UploadRecord) -> UploadOut:
    """An upload as the wire shows it."""
    here = f"/v1/uploads/{upload.id}"
    seconds = services.settings.presign_seconds
    starts = range(0, upload.size, upload.part_size) if upload.state == "open" else ()
    spans = {
        number: (start, min(start + upload.part_size, upload.size))
        for number, start in enumerate(starts, start=1)
    }
    urls = services.store.presign_parts(
        upload_key(upload.id),
        upload.s3_upload_id,
        {number: stop - start for number, (start, stop) in spans.items()},
        timedelta(seconds=seconds),
    )
    return UploadOut(
        id=upload.id,
        digest=upload.digest,
        size=upload.size,
        part_size=upload.part_size,
        state=upload.state,
        parts=[
            PartOut(number=number, start=start, stop=stop, url=urls[number])
            for number, (start, stop) in spans.items()
        ],
        expires_in=seconds if upload.state == "open" else None,
        created_at=upload.created_at,
        links={
            "self": here,
            "complete": f"{here}/complete",
            "object": f"/v1/objects/{upload.digest}",
        },
    )
