"""HTTP of landscapes: finished results, immutable; and a running job's grid so far."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import AwareDatetime

from service.domain.definitions import outdated
from service.domain.ids import (
    DatasetId,
    DisplayName,
    JobId,
    KeyId,
    LandscapeId,
    ModelId,
    ProjectName,
    Tag,
)
from service.exports import page_policy
from service.exports.page import MEDIA_TYPE as HTML
from service.figures import Caption
from service.http.dependencies import Principal, ServicesOf, Transaction
from service.http.documentation import problems
from service.http.etag import immutable, transient
from service.http.paging import Cursor, Limit, link_next
from service.http.parameters import takes_further
from service.http.services import Services
from service.inputs import lookup
from service.landscapes import exports, figures, results
from service.landscapes.captions import caption_for, caption_of, labels_of, notes_of
from service.landscapes.documented import GRID, bytes_of
from service.landscapes.figures import MEDIA_TYPES, FigureQuery, Format
from service.landscapes.formats.table import FORMATS
from service.landscapes.ranges import parse_ranges, range_names
from service.landscapes.schemas import LandscapeKind, LandscapeOut, LandscapePage, SortBy
from service.ledger import landscapes
from service.ledger.records import LandscapeRecord

router = APIRouter(tags=["landscapes"])


@router.get("/v1/landscapes", summary="Search landscapes", responses=problems("invalid_request"))
@takes_further(range_names)
def list_landscapes(
    request: Request,
    response: Response,
    session: Transaction,
    caller: Principal,
    project: Annotated[ProjectName | None, Query()] = None,
    model: Annotated[ModelId | None, Query()] = None,
    kind: Annotated[LandscapeKind | None, Query()] = None,
    tag: Annotated[Tag | None, Query()] = None,
    dataset: Annotated[DatasetId | None, Query(description="Evaluated on this data set.")] = None,
    author: Annotated[KeyId | None, Query(description="Asked for with this key.")] = None,
    since: Annotated[AwareDatetime | None, Query(description="Made then or later.")] = None,
    until: Annotated[AwareDatetime | None, Query(description="Made before.")] = None,
    text: Annotated[
        DisplayName | None,
        Query(description="Words, each in the title, the model's name, a tag or the note."),
    ] = None,
    sort: Annotated[SortBy, Query()] = SortBy.NEWEST,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> LandscapePage:
    """Landscapes of the projects that the key may read.

    Derived measures are searched by range: `derived.<measure>.min=…` and
    `derived.<measure>.max=…`, both inclusive, at the first data set; for example
    `derived.sharpness.max=0.5`. What has no such number does not match.
    """
    page = landscapes.list(
        session,
        projects=caller.projects,
        project=project,
        model_id=model,
        kind=kind,
        tag=tag,
        dataset=dataset,
        author=author,
        since=since,
        until=until,
        text=text,
        ranges=parse_ranges(request.query_params.multi_items()),
        sort=sort,
        cursor=cursor,
        limit=limit,
    )
    link_next(request, response, page.next_cursor)
    return LandscapePage(
        items=[shown(landscape) for landscape in page.items], next_cursor=page.next_cursor
    )


@router.get(
    "/v1/landscapes/{landscape_id}",
    summary="One landscape",
    responses=problems("invalid_request", "not_found"),
)
def get(landscape_id: LandscapeId, session: Transaction, caller: Principal) -> LandscapeOut:
    """Derived measures, each with its definition, and the provenance: everything needed to compute
    the same numbers again.
    """
    return shown(lookup.landscape(session, caller, landscape_id))


@router.get(
    "/v1/landscapes/{landscape_id}/view",
    summary="An interactive page",
    response_class=Response,
    responses={
        **bytes_of(HTML, "Self-contained: it loads nothing else."),
        **problems("invalid_request", "not_found", "not_supported"),
    },
)
@router.head("/v1/landscapes/{landscape_id}/view", include_in_schema=False)
def view(
    landscape_id: LandscapeId, request: Request, services: ServicesOf, caller: Principal
) -> Response:
    """A surface to turn, with values under the pointer and the path of training where there is
    one; curves for a line; the figure where scripts or WebGL are missing. Saved as a file it works
    without the service.
    """
    with services.database.transaction() as session:
        landscape = lookup.landscape(session, caller, landscape_id)
        about, caption = exports.about(session, landscape), caption_of(session, landscape)
    answer = immutable(
        request,
        tag=exports.page_tag_of(landscape, about, caption),
        media_type=HTML,
        body=lambda: exports.page_of(services, landscape, about, caption),
    )
    # with 304 too: a cache takes the headers of that for those that it has
    answer.headers["Content-Security-Policy"] = page_policy()
    answer.headers["X-Frame-Options"] = "SAMEORIGIN"
    return answer


@router.get(
    "/v1/landscapes/{landscape_id}/figure.{extension}",
    summary="A figure",
    response_class=Response,
    responses={
        **bytes_of("image/png", "The figure, PNG or SVG."),
        **problems("invalid_request", "not_found", "not_supported"),
    },
)
@router.head("/v1/landscapes/{landscape_id}/figure.{extension}", include_in_schema=False)
def figure(
    landscape_id: LandscapeId,
    extension: Format,
    query: Annotated[FigureQuery, Query()],
    request: Request,
    services: ServicesOf,
    caller: Principal,
) -> Response:
    """A curve of a line; contours, filled contours, a heat map or a surface of a plane. Cells that
    have no value are hatched. With `beside`, several lines on the same axes. The same question is
    drawn once and kept.
    """
    with services.database.transaction() as session:
        landscape = lookup.landscape(session, caller, landscape_id)
        caption = caption_of(session, landscape)
        others = [
            lookup.landscape_named(session, caller, identity, f"/beside/{place}")
            for place, identity in enumerate(query.beside)
        ]
        captions = [caption, *(caption_of(session, other) for other in others)]
    if others:
        return _overlay(services, request, [landscape, *others], captions, query, extension)
    name = figures.name_of(landscape.data, query, caption)
    return immutable(
        request,
        tag=f"{name}-{extension}",
        media_type=MEDIA_TYPES[extension],
        body=lambda: results.figure_of(services, landscape, query, caption, extension, name),
    )


def _overlay(
    services: Services,
    request: Request,
    lines: Sequence[LandscapeRecord],
    captions: Sequence[Caption],
    query: FigureQuery,
    extension: Format,
) -> Response:
    labels = list(query.label) or labels_of(lines, captions)
    caption = Caption(notes=notes_of(lines, captions))
    name = figures.name_of(lines[0].data, query, caption, labels)
    return immutable(
        request,
        tag=f"{name}-{extension}",
        media_type=MEDIA_TYPES[extension],
        body=lambda: results.overlay_of(services, lines, labels, query, caption, extension, name),
    )


@router.get(
    "/v1/jobs/{job_id}/partial.json",
    tags=["jobs"],
    summary="A job's values so far",
    response_class=Response,
    responses={
        200: {
            "description": "As `data.json`; cells not computed yet have status `pending`.",
            "content": {"application/json": GRID},
        },
        **problems("invalid_request", "not_found", "conflict", "not_supported"),
    },
)
def partial_json(
    job_id: JobId, request: Request, services: ServicesOf, caller: Principal
) -> Response:
    """Coarse to fine: the first few per cent already cover the whole grid evenly. `409`, worth
    trying again, before the job is planned.
    """
    with services.database.transaction() as session:
        partial = results.partial_of(session, lookup.job(session, caller, job_id))
    return transient(
        request,
        tag=results.partial_tag(partial),
        media_type="application/json",
        body=lambda: results.partial_json(services, partial),
    )


@router.get(
    "/v1/jobs/{job_id}/partial.png",
    tags=["jobs"],
    summary="A job's figure so far",
    response_class=Response,
    responses={
        200: {"description": "The figure; pending cells are marked.", "content": {"image/png": {}}},
        **problems("invalid_request", "not_found", "conflict", "not_supported"),
    },
)
def partial_png(
    job_id: JobId,
    query: Annotated[FigureQuery, Query()],
    request: Request,
    services: ServicesOf,
    caller: Principal,
) -> Response:
    """Takes the same parameters as a landscape's figure. Not kept."""
    with services.database.transaction() as session:
        job = lookup.job(session, caller, job_id)
        partial = results.partial_of(session, job)
        known = results.partial_provenance(partial)
        caption = caption_for(session, job.model_id, job.origin, job.spec, known)

    def body() -> bytes:
        result = results.assembled(services, partial)
        figures.require_fitting(query, result)
        return figures.drawn(result, query, caption, "png")

    tag = figures.name_of(results.partial_tag(partial), query, caption)
    return transient(request, tag=tag, media_type="image/png", body=body)


def shown(landscape: LandscapeRecord) -> LandscapeOut:
    """A landscape as the wire shows it."""
    here = f"/v1/landscapes/{landscape.id}"
    return LandscapeOut(
        id=landscape.id,
        project=landscape.project,
        job=landscape.job_id,
        kind=landscape.kind,
        model=landscape.model_id,
        origin=landscape.origin,
        title=landscape.title,
        tags=sorted(landscape.tags),
        note=landscape.note,
        spec=landscape.spec,
        input_digest=landscape.input_digest,
        data=landscape.data,
        derived=landscape.derived,
        provenance=landscape.provenance,
        outdated=outdated(landscape.provenance),
        created_at=landscape.created_at,
        created_by=landscape.created_by,
        links={
            "self": here,
            **{format.link: f"{here}/data.{format.suffix}" for format in FORMATS},
            "view": f"{here}/view",
            "figure": f"{here}/figure.png",
            "job": f"/v1/jobs/{landscape.job_id}",
            "model": f"/v1/models/{landscape.model_id}",
            "history": f"{here}/history",
        },
    )
