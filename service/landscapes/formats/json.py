"""A landscape's grid as JSON."""

from __future__ import annotations

from typing import ClassVar

from service.exports import About
from service.http.services import Services
from service.landscapes import results
from service.landscapes.documented import GRID
from service.landscapes.formats.format import DataFormat, NoQuery
from service.ledger.records import LandscapeRecord


class GridJson(DataFormat[NoQuery]):
    """`values[iy][ix]`, `null` where not `ok`."""

    suffix: ClassVar = "json"
    link: ClassVar = "data"
    label: ClassVar = "JSON"
    summary: ClassVar = "The values as JSON"
    answer: ClassVar = "Values laid out `[iy][ix]`, `null` where not `ok`."
    media_type: ClassVar = "application/json"
    saved: ClassVar = False
    content: ClassVar = GRID
    query = NoQuery
    description: ClassVar = (
        "Axes, values and standard errors for each data set, a status for each cell, the centre "
        "(or\nthe line's ends), directions, derived measures and provenance. `trajectory`, where "
        "there is\none: the checkpoints' coordinates, residuals, distances, steps and learning "
        "rates, their own\nlosses (`true`) beside the plane's (`plane`), explained variance, and "
        "the definitions."
    )

    def tag(self, landscape: LandscapeRecord, about: About, query: NoQuery) -> str:
        return results.json_tag(landscape)

    def encode(
        self, services: Services, landscape: LandscapeRecord, about: About, query: NoQuery
    ) -> bytes:
        return results.json_of(services, landscape)
