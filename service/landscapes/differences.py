"""The difference of two planes over the same grid and data, as a figure.

Owns which two can be subtracted, and the route. The drawing is `service.figures`'.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Annotated, Final, Literal

import numpy as np
from fastapi import APIRouter, Query, Request, Response
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from service.domain.adaptive import Sampling
from service.domain.cells import CellStatus
from service.domain.definitions import unlike
from service.domain.digests import digest_json
from service.domain.ids import LandscapeId
from service.domain.networks import anchor_at
from service.domain.problems import Problem
from service.domain.results import DatasetGrid, DatasetTile, GridResult
from service.figures import Caption
from service.http.dependencies import Principal, ServicesOf
from service.http.documentation import problems
from service.http.etag import immutable
from service.http.services import Services
from service.inputs import lookup
from service.landscapes.captions import caption_of
from service.landscapes.figures import MEDIA_TYPES, FigureQuery, Format, drawn
from service.landscapes.results import arrays_of
from service.ledger.records import LandscapeRecord

router = APIRouter(tags=["landscapes"])

#: Raised when the same question would be drawn otherwise.
REVISION: Final = 2


class DifferenceQuery(BaseModel):
    """What is subtracted and how the rest is drawn."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    subtract: LandscapeId = Field(description="The landscape to subtract from this one.")
    theme: Literal["light", "dark"] = "light"
    width: int = Field(default=1000, ge=200, le=4000, description="In pixels.")


@router.get(
    "/v1/landscapes/{landscape_id}/difference.{extension}",
    summary="A figure of the difference to another landscape",
    response_class=Response,
    responses={
        200: {"description": "The figure, PNG or SVG.", "content": {"image/png": {}}},
        304: {"description": "What the caller has is right."},
        **problems("invalid_request", "not_found", "not_supported"),
    },
)
def difference(
    landscape_id: LandscapeId,
    extension: Format,
    query: Annotated[DifferenceQuery, Query()],
    request: Request,
    services: ServicesOf,
    caller: Principal,
) -> Response:
    """This landscape's loss less that of another, cell by cell, colours parting at zero. Both must
    be planes over the same points and the same data sets, computed under the same definitions.
    """
    with services.database.transaction() as session:
        one = lookup.landscape(session, caller, landscape_id)
        other = lookup.landscape_named(session, caller, query.subtract, "/subtract")
        said = _caption(one, caption_of(session, one), other, caption_of(session, other))
    asked = query.model_dump(mode="json")
    tag = digest_json([REVISION, one.data, other.data, asked, extension, asdict(said)])
    return immutable(
        request,
        tag=tag,
        media_type=MEDIA_TYPES[extension],
        body=lambda: _drawn(services, one, other, query, said, extension),
    )


def why_not(
    first: GridResult, second: GridResult, one: LandscapeRecord, other: LandscapeRecord
) -> str | None:
    """Why two landscapes have no difference, in words; None where they have.

    Args:
        first, second: their values.
    """
    if first.y is None or second.y is None:
        return "only planes are subtracted"
    if first.shape != second.shape or not (
        np.allclose(first.x, second.x) and np.allclose(first.y, second.y)
    ):
        return "their grids have different points"
    if one.spec.get("datasets", [])[:1] != other.spec.get("datasets", [])[:1]:
        return "they were evaluated on different data"
    return unlike(one.provenance.get("definitions"), other.provenance.get("definitions"))


def _drawn(
    services: Services,
    one: LandscapeRecord,
    other: LandscapeRecord,
    query: DifferenceQuery,
    said: Caption,
    extension: Format,
) -> bytes:
    mine, theirs = arrays_of(services, one), arrays_of(services, other)
    why = why_not(mine, theirs, one, other)
    if why is not None:
        raise Problem("not_supported", why, pointer="/subtract")
    figure = FigureQuery.model_validate(
        {"view": "heatmap", "theme": query.theme, "width": query.width, "metric": "difference"}
    )
    caption = replace(said, notes=(*said.notes, *_interpolated(mine, theirs)))
    return drawn(subtracted(mine, theirs), figure, caption, extension)


def subtracted(mine: GridResult, theirs: GridResult) -> GridResult:
    """The first data set's loss less the other's, and nothing that belongs to one of them alone.

    Anchors are those that both know. A cell has the worse of the two statuses; standard errors are
    upper bounds, as both losses are over the same samples.
    """
    a, b = mine.datasets[0], theirs.datasets[0]
    places = dict.fromkeys(map(tuple, mine.anchors.tolist()))
    both = [(anchor_at(mine, at), anchor_at(theirs, at)) for at in places]
    pairs = [(k, other) for k, other in both if k is not None and other is not None]
    first = np.array([k for k, _ in pairs], dtype=np.int64)
    second = np.array([k for _, k in pairs], dtype=np.int64)
    cells = _less(_tile_of(a), _tile_of(b))
    grid = DatasetGrid(
        name=a.name,
        loss=cells.loss,
        stderr=cells.stderr,
        accuracy=None,
        status=cells.status,
        samples=a.samples,
        anchors=_less(_at(a.anchors, first), _at(b.anchors, second)),
        extra=cells.extra,
    )
    return GridResult(x=mine.x, y=mine.y, anchors=mine.anchors[first], datasets=(grid,))


def _less(a: DatasetTile, b: DatasetTile) -> DatasetTile:
    status = np.maximum(a.status, b.status).astype(np.int8)
    ok = status == CellStatus.OK
    values = np.full(a.loss.shape, np.nan)
    values[ok] = a.loss[ok] - b.loss[ok]
    stderr = np.hypot(a.stderr, b.stderr)
    return DatasetTile(values, stderr, None, status, {"difference": values})


def _tile_of(grid: DatasetGrid) -> DatasetTile:
    return DatasetTile(grid.loss, grid.stderr, None, grid.status)


def _at(tile: DatasetTile, index: NDArray[np.int64]) -> DatasetTile:
    return DatasetTile(tile.loss[index], tile.stderr[index], None, tile.status[index])


def _caption(
    one: LandscapeRecord, mine: Caption, other: LandscapeRecord, theirs: Caption
) -> Caption:
    """What holds of both; what is of one alone is told of that one."""
    names = [_name(one, mine), _name(other, theirs)]
    if names[0] == names[1]:
        names = [
            f"{name} ({landscape.id})" for name, landscape in zip(names, (one, other), strict=True)
        ]
    alike = mine.normalisation == theirs.normalisation
    notes = [f"Loss of {names[0]} less that of {names[1]}."]
    if not alike:
        notes += [
            f"Directions of {name}: {caption.normalisation or 'none'}."
            for name, caption in zip(names, (mine, theirs), strict=True)
        ]
    for note in dict.fromkeys((*mine.notes, *theirs.notes)):
        of = [name for name, c in zip(names, (mine, theirs), strict=True) if note in c.notes]
        notes.append(note if len(of) == len(names) else f"Of {of[0]}: {note}")
    same = one.origin == other.origin
    return Caption(
        model=mine.model if mine.model == theirs.model else None,
        normalisation=mine.normalisation if alike else None,
        origin=mine.origin if same else "the trained networks",
        networks=mine.networks if same and mine.networks == theirs.networks else (),
        notes=tuple(notes),
    )


def _name(landscape: LandscapeRecord, caption: Caption) -> str:
    parts = [part for part in (caption.model, caption.origin) if part]
    return ", ".join(parts) or landscape.id


def _interpolated(*results: GridResult) -> list[str]:
    """What of the difference is between interpolated values."""
    adaptive = [s for result in results if (s := Sampling.of(result)) is not None]
    if not adaptive:
        return []
    which = "Both surfaces" if len(adaptive) == len(results) else "One of the surfaces"
    worst = max(sampling.tolerance for sampling in adaptive)
    return [
        f"{which} by adaptive sampling: differences below {100 * worst:g}% of the loss may be of "
        "the interpolation."
    ]
