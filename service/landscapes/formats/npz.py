"""A landscape's arrays as they are stored."""

from __future__ import annotations

from typing import ClassVar

from service.exports import About
from service.http.services import Services
from service.landscapes import results
from service.landscapes.formats.format import DataFormat, NoQuery
from service.ledger.records import LandscapeRecord


class Npz(DataFormat[NoQuery]):
    """NumPy arrays, no pickles."""

    suffix: ClassVar = "npz"
    link: ClassVar = "npz"
    label: ClassVar = "NumPy .npz"
    summary: ClassVar = "The values as NumPy arrays"
    answer: ClassVar = "Arrays as stored, NaN and infinities as they came."
    media_type: ClassVar = "application/x-npz"
    query = NoQuery
    description: ClassVar = (
        "`x`, `y`, `anchors`, `names`, and for data set i `d<i>.loss`, `d<i>.stderr`,\n"
        "`d<i>.accuracy`, `d<i>.status`, and of what its means are over `d<i>.samples`, "
        "`.reduction`,\n`.positions`, `.ignored_samples`, `.ignored_positions`, "
        "`.effective_samples`; float64, no\npickles. A trajectory adds `attached.trajectory.*`, "
        "rows in the order of the checkpoints;\ncurvature adds `attached.curvature.*` and, on a "
        "map, `d0.extra.lambda_max`, `.lambda_min`,\n`.ratio`…."
    )

    def tag(self, landscape: LandscapeRecord, about: About, query: NoQuery) -> str:
        return landscape.data

    def encode(
        self, services: Services, landscape: LandscapeRecord, about: About, query: NoQuery
    ) -> bytes:
        return results.npz_of(services, landscape)
