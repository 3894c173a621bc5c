"""The line through two checkpoints in a child: computed from the two."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from numpy.typing import NDArray

from workers.computation.grid import GridHalf
from workers.computation.weights import histograms
from workers.protocol import Prepare, Tile
from workers.questions.interpolation.messages import Segment, SegmentTile


class SegmentHalf(GridHalf):
    """Both ends are open."""

    prepare_part: ClassVar = Segment
    tile_part: ClassVar = SegmentTile

    def target(self, request: Prepare | Tile) -> str:
        return request.of(Segment).target

    def attachments(self, request: Tile) -> Mapping[str, NDArray[Any]]:
        part = request.of(SegmentTile)
        if not part.weights:
            return {}
        ends = [self.context.origin, self.context.points[part.target]]
        return histograms(self.context.network, ends)


HALF: Final = SegmentHalf
