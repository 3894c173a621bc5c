"""HTTP of landscapes: finished results, immutable; and a running job's grid so far."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final

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
from service.exports import About, page_policy
from service.exports.hdf5 import MEDIA_TYPE as HDF5
from service.exports.page import MEDIA_TYPE as HTML
from service.exports.vts import MEDIA_TYPE as VTS
from service.figures import Caption
from service.http.dependencies import Principal, ServicesOf, Transaction
from service.http.documentation import problems
from service.http.etag import immutable, transient
from service.http.paging import Cursor, Limit, link_next
from service.http.services import Services
from service.inputs import lookup
from service.inputs.lookup import Caller
from service.landscapes import exports, figures, results
from service.landscapes.captions import caption_for, caption_of, labels_of, notes_of
from service.landscapes.exports import Hdf5Query, VtsQuery
from service.landscapes.figures import MEDIA_TYPES, FigureQuery, Format
from service.landscapes.grid import EXAMPLE
from service.landscapes.ranges import parse_ranges
from service.landscapes.schemas import LandscapeKind, LandscapeOut, LandscapePage, SortBy
from service.ledger import landscapes
from service.ledger.records import LandscapeRecord

router = APIRouter(tags=["landscapes"])

_IMMUTABLE = "Strong `ETag`; immutable, so it may be kept for ever."


_GRID: Final = {"examples": {"surface": {"value": EXAMPLE}}}


def _bytes_of(
    media_type: str, description: str, content: dict[str, Any] | None = None
) -> dict[int | str, dict[str, Any]]:
    return {
        200: {"description": f"{description} {_IMMUTABLE}", "content": {media_type: content or {}}},
        304: {"description": "What the caller has is right."},
    }


@router.get("/v1/landscapes", summary="Search landscapes", responses=problems("invalid_request"))
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
    "/v1/landscapes/{landscape_id}/data.json",
    summary="The values as JSON",
    response_class=Response,
    responses={
        **_bytes_of(
            "application/json", "Values laid out `[iy][ix]`, `null` where not `ok`.", _GRID
        ),
        **problems("invalid_request", "not_found"),
    },
)
@router.head("/v1/landscapes/{landscape_id}/data.json", include_in_schema=False)
def data_json(
    landscape_id: LandscapeId, request: Request, services: ServicesOf, caller: Principal
) -> Response:
    """Axes, values and standard errors for each data set, a status for each cell, the centre (or
    the line's ends), directions, derived measures and provenance. `trajectory`, where there is
    one: the checkpoints' coordinates, residuals, distances, steps and learning rates, their own
    losses (`true`) beside the plane's (`plane`), explained variance, and the definitions.
    """
    landscape = _visible(services, caller, landscape_id)
    return immutable(
        request,
        tag=results.json_tag(landscape),
        media_type="application/json",
        body=lambda: results.json_of(services, landscape),
    )


@router.get(
    "/v1/landscapes/{landscape_id}/data.npz",
    summary="The values as NumPy arrays",
    response_class=Response,
    responses={
        **_bytes_of("application/x-npz", "Arrays as stored, NaN and infinities as they came."),
        **problems("invalid_request", "not_found"),
    },
)
@router.head("/v1/landscapes/{landscape_id}/data.npz", include_in_schema=False)
def data_npz(
    landscape_id: LandscapeId, request: Request, services: ServicesOf, caller: Principal
) -> Response:
    """`x`, `y`, `anchors`, `names`, and for data set i `d<i>.loss`, `d<i>.stderr`,
    `d<i>.accuracy`, `d<i>.status`, and of what its means are over `d<i>.samples`, `.reduction`,
    `.positions`, `.ignored_samples`, `.ignored_positions`, `.effective_samples`; float64, no
    pickles. A trajectory adds `attached.trajectory.*`, rows in the order of the checkpoints;
    curvature adds `attached.curvature.*` and, on a map, `d0.extra.lambda_max`, `.lambda_min`,
    `.ratio`….
    """
    landscape = _visible(services, caller, landscape_id)
    return immutable(
        request,
        tag=landscape.data,
        media_type="application/x-npz",
        filename=f"{landscape.id}.npz",
        body=lambda: results.npz_of(services, landscape),
    )


@router.get(
    "/v1/landscapes/{landscape_id}/data.h5",
    summary="The values as HDF5",
    response_class=Response,
    responses={
        **_bytes_of(HDF5, "Keys of the published code, and a group for each data set."),
        **problems("invalid_request", "not_found", "not_supported"),
    },
)
@router.head("/v1/landscapes/{landscape_id}/data.h5", include_in_schema=False)
def data_h5(
    landscape_id: LandscapeId,
    query: Annotated[Hdf5Query, Query()],
    request: Request,
    services: ServicesOf,
    caller: Principal,
) -> Response:
    """`xcoordinates ycoordinates train_loss train_acc test_loss test_acc` as the scripts of
    Li et al. 2018 read them (arrays `[iy][ix]`, accuracies in per cent), `datasets/<name>/…` with
    everything, `xdirection` and `ydirection`, and the provenance.
    """
    landscape, about = _described(services, caller, landscape_id)
    return immutable(
        request,
        tag=exports.tag_of(landscape, about, query, "h5"),
        media_type=HDF5,
        filename=f"{landscape.id}.h5",
        body=lambda: exports.hdf5_of(services, landscape, about, query),
    )


@router.get(
    "/v1/landscapes/{landscape_id}/data.vts",
    summary="The surface as a VTK structured grid",
    response_class=Response,
    responses={
        **_bytes_of(VTS, "For ParaView and other readers of VTK's XML."),
        **problems("invalid_request", "not_found"),
    },
)
@router.head("/v1/landscapes/{landscape_id}/data.vts", include_in_schema=False)
def data_vts(
    landscape_id: LandscapeId,
    query: Annotated[VtsQuery, Query()],
    request: Request,
    services: ServicesOf,
    caller: Principal,
) -> Response:
    """Points (α, β, loss or log₁₀ loss) with loss, log₁₀ loss, accuracy, standard error and status
    of every data set. Cells without a value are hidden.
    """
    landscape, about = _described(services, caller, landscape_id)
    return immutable(
        request,
        tag=exports.tag_of(landscape, about, query, "vts"),
        media_type=VTS,
        filename=f"{landscape.id}.vts",
        body=lambda: exports.vts_of(services, landscape, about, query),
    )


@router.get(
    "/v1/landscapes/{landscape_id}/view",
    summary="An interactive page",
    response_class=Response,
    responses={
        **_bytes_of(HTML, "Self-contained: it loads nothing else."),
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
        **_bytes_of("image/png", "The figure, PNG or SVG."),
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
            "content": {"application/json": _GRID},
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


def _visible(services: Services, caller: Caller, landscape_id: str) -> LandscapeRecord:
    with services.database.transaction() as session:
        return lookup.landscape(session, caller, landscape_id)


def _described(
    services: Services, caller: Caller, landscape_id: str
) -> tuple[LandscapeRecord, About]:
    with services.database.transaction() as session:
        landscape = lookup.landscape(session, caller, landscape_id)
        return landscape, exports.about(session, landscape)


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
            "data": f"{here}/data.json",
            "npz": f"{here}/data.npz",
            "h5": f"{here}/data.h5",
            "vts": f"{here}/data.vts",
            "view": f"{here}/view",
            "figure": f"{here}/figure.png",
            "job": f"/v1/jobs/{landscape.job_id}",
            "model": f"/v1/models/{landscape.model_id}",
            "history": f"{here}/history",
        },
    )
