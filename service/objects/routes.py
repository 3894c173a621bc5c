"""HTTP of objects."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Annotated, Any, Final

import anyio
from anyio.lowlevel import RunVar
from fastapi import APIRouter, Path, Request, Response, status
from fastapi.responses import StreamingResponse

from service.domain.digests import Digest
from service.http.dependencies import Principal, ServicesOf, Submitter
from service.http.documentation import problems
from service.http.etag import FOR_EVER, none_match
from service.http.services import Services
from service.ledger.records import ObjectRecord
from service.objects import intake, ranges
from service.objects.incoming import IncomingBody, too_large
from service.objects.schemas import ObjectOut

router = APIRouter(tags=["objects"])

DigestPath = Annotated[
    Digest,
    Path(
        description="`sha256:` and the 64 lower-case hexadecimal digits of the bytes' SHA-256.",
        examples=["sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"],
    ),
]

_BINARY: Final = "application/octet-stream"
#: Uploads have threads of their own, so that slow ones take none from other requests.
_uploading: RunVar[anyio.CapacityLimiter] = RunVar("uploading")

_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "description": "The bytes themselves, of any size up to the limit.",
        "content": {_BINARY: {"schema": {"type": "string", "format": "binary"}}},
    }
}


@router.put(
    "/v1/objects/{digest}",
    status_code=status.HTTP_201_CREATED,
    summary="Upload bytes",
    openapi_extra=_BODY,
    responses={
        200: {"model": ObjectOut, "description": "This key could read these bytes already."},
        **problems(
            "invalid_request",
            "forbidden",
            "digest_mismatch",
            "upload_incomplete",
            "body_too_large",
        ),
    },
)
async def put(
    digest: DigestPath,
    request: Request,
    response: Response,
    services: ServicesOf,
    caller: Submitter,
) -> ObjectOut:
    """The hash is verified while storing, in constant memory: what does not match never becomes
    visible. Sending the same bytes again is no fault; whether others have them is not told.
    Files of many gigabytes may better go in parts, by `POST /v1/uploads`.
    """
    most = services.settings.max_object_bytes
    declared = request.headers.get("content-length", "")
    size = int(declared) if declared.isdigit() else None
    if size is not None and size > most:
        raise too_large(most)
    body = IncomingBody(request.receive, most)
    pump = asyncio.create_task(body.pump())
    try:
        stored, new = await anyio.to_thread.run_sync(
            intake.take_in, services, caller, digest, body, size, limiter=_limiter(services)
        )
    finally:
        # refused half-way, or cancelled: the other side must not wait for ever
        body.close()
        pump.cancel()
        with suppress(asyncio.CancelledError):
            await pump
    if not new:
        response.status_code = status.HTTP_200_OK
    response.headers["Location"] = f"/v1/objects/{digest}"
    return shown(stored)


@router.head(
    "/v1/objects/{digest}",
    summary="Is an object here?",
    response_class=Response,
    responses={
        200: {"description": "It is; `Content-Length` is its size."},
        **problems("invalid_request", "not_found"),
    },
)
def head(digest: DigestPath, services: ServicesOf, caller: Principal) -> Response:
    """Ask before sending: what is here and visible to the key need not be sent again."""
    found = intake.find(services, caller, digest)
    return Response(media_type=_BINARY, headers=_headers(found) | _length(found.size))


@router.get(
    "/v1/objects/{digest}",
    summary="Download bytes",
    response_class=Response,
    responses={
        200: {"description": "All of them, verified.", "content": {_BINARY: {}}},
        206: {"description": "The range asked for.", "content": {_BINARY: {}}},
        304: {"description": "The caller has them."},
        **problems("invalid_request", "not_found", "range_not_satisfiable"),
    },
)
def get(digest: DigestPath, request: Request, services: ServicesOf, caller: Principal) -> Response:
    """One range of bytes at a time (`Range`, `If-Range` by the entity tag, which is the digest).

    A whole download is verified on the way: if the stored bytes were damaged, it breaks off before
    its end.
    """
    found = intake.find(services, caller, digest)
    headers = _headers(found)
    if not none_match(request.headers, digest):
        return Response(status_code=304, headers=headers)
    part = ranges.asked(request.headers, found.size, digest)
    start, stop = part or (0, found.size)
    if part is not None:
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{found.size}"
    return StreamingResponse(
        services.store.open_range(digest, start, stop),
        status_code=200 if part is None else 206,
        media_type=_BINARY,
        headers=headers | _length(stop - start),
    )


def shown(found: ObjectRecord) -> ObjectOut:
    """An object as the wire shows it."""
    return ObjectOut(
        digest=found.digest,
        size=found.size,
        created_at=found.created_at,
        links={"self": f"/v1/objects/{found.digest}"},
    )


def _headers(found: ObjectRecord) -> dict[str, str]:
    return {
        "ETag": f'"{found.digest}"',
        "Accept-Ranges": "bytes",
        "Cache-Control": FOR_EVER,
        "Vary": "Authorization, Cookie",
        "Content-Disposition": "attachment",
    }


def _length(size: int) -> dict[str, str]:
    return {"Content-Length": str(size)}


def _limiter(services: Services) -> anyio.CapacityLimiter:
    """This event loop's."""
    try:
        return _uploading.get()
    except LookupError:
        made = anyio.CapacityLimiter(services.settings.uploads_at_once)
        _uploading.set(made)
        return made
