"""A landscape as a VTK structured grid."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from service.domain.problems import Problem
from service.exports import About, encode_vts
from service.exports.vts import MEDIA_TYPE
from service.http.services import Services
from service.landscapes.formats.format import DataFormat
from service.landscapes.results import arrays_of
from service.ledger.records import LandscapeRecord


class VtsQuery(BaseModel):
    """What the height is."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dataset: Annotated[str, StringConstraints(max_length=210)] | None = Field(
        default=None, description="By name. Left out: the first one."
    )
    log: bool | None = Field(
        default=None,
        description="log₁₀ of the loss as height. Left out: chosen for values over more than two "
        "decades.",
    )


class Vts(DataFormat[VtsQuery]):
    """For ParaView and other readers of VTK's XML."""

    suffix: ClassVar = "vts"
    link: ClassVar = "vts"
    label: ClassVar = "ParaView .vts"
    summary: ClassVar = "The surface as a VTK structured grid"
    answer: ClassVar = "For ParaView and other readers of VTK's XML."
    media_type: ClassVar = MEDIA_TYPE
    lines: ClassVar = False
    query = VtsQuery
    description: ClassVar = (
        "Points (α, β, loss or log₁₀ loss) with loss, log₁₀ loss, accuracy, standard error and "
        "status\nof every data set. Cells without a value are hidden."
    )

    def encode(
        self, services: Services, landscape: LandscapeRecord, about: About, query: VtsQuery
    ) -> bytes:
        """Raises Problem `invalid_request` for a data set that is not there."""
        result = arrays_of(services, landscape)
        names = [d.name for d in result.datasets]
        if query.dataset is not None and query.dataset not in names:
            raise Problem(
                "invalid_request",
                f"there is no data set {query.dataset!r}; there are {', '.join(names)}",
                pointer="/dataset",
            )
        return encode_vts(result, about, dataset=query.dataset, log=query.log)
