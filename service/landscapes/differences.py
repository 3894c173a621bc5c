"""The difference of two planes over the same grid and data, as a figure.

Owns which two can be subtracted, and the route. The drawing is `service.figures`'.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Final, Literal

import numpy as np
from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from service.domain.cells import CellStatus
from service.domain.definitions import unlike
from service.domain.digests import digest_json
from service.domain.ids import LandscapeId
from service.domain.problems import Problem
from service.domain.results import DatasetGrid, GridResult
from service.figures import Caption
from service.http.dependencies import Principal, ServicesOf
from service.http.documentation import problems
from service.http.etag import immutable
from service.http.services import Services
from service.inputs import lookup
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
    tag = digest_json([REVISION, one.data, other.data, query.model_dump(mode="json"), extension])
    return immutable(
        request,
        tag=tag,
        media_type=MEDIA_TYPES[extension],
        body=lambda: _drawn(services, one, other, query, extension),
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
    extension: Format,
) -> bytes:
    mine, theirs = arrays_of(services, one), arrays_of(services, other)
    why = why_not(mine, theirs, one, other)
    if why is not None:
        raise Problem("not_supported", why, pointer="/subtract")
    figure = FigureQuery.model_validate(
        {"view": "heatmap", "theme": query.theme, "width": query.width, "metric": "difference"}
    )
    caption = Caption(notes=(f"Loss of {one.id} less that of {other.id}.",))
    return drawn(_subtracted(mine, theirs), figure, caption, extension)


def _subtracted(mine: GridResult, theirs: GridResult) -> GridResult:
    a, b = mine.datasets[0], theirs.datasets[0]
    status = np.maximum(a.status, b.status).astype(np.int8)
    ok = status == CellStatus.OK
    values = np.full(a.loss.shape, np.nan)
    values[ok] = a.loss[ok] - b.loss[ok]
    grid: DatasetGrid = replace(a, status=status, extra={"difference": values})
    return replace(mine, datasets=(grid,), attachments={})
