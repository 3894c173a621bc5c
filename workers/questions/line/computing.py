"""Lines in a child: each direction is looked along by itself."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, ClassVar, Final

from numpy.typing import NDArray

from service.domain.questions.line.question import AXIS
from workers.computation.grid import GridHalf
from workers.computation.weights import histograms
from workers.protocol import Tile
from workers.questions.line.messages import LineTile


class LineHalf(GridHalf):
    """β is the number of the direction."""

    tile_part: ClassVar = LineTile

    def apart(self, axes: Collection[str]) -> tuple[str, ...]:
        return tuple(f"{AXIS}{k}" for k in range(len(axes)))

    def attachments(self, request: Tile) -> Mapping[str, NDArray[Any]]:
        if not request.of(LineTile).weights:
            return {}
        return histograms(self.context.network, [self.context.origin])


HALF: Final = LineHalf
