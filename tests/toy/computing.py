"""The toy in a child: radii along the direction, and what they are beside the losses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from tests.toy.messages import ToyAsked, ToyFound
from workers.computation.grid import Ahead, GridHalf
from workers.protocol import Prepare, Tile


class ToyHalf(GridHalf):
    """Cells lie along one direction."""

    prepare_part: ClassVar = ToyAsked

    def ahead(self, request: Prepare) -> Ahead:
        return Ahead(part=ToyFound(asked=request.of(ToyAsked).radii))

    def attachments(self, request: Tile) -> Mapping[str, NDArray[Any]]:
        return {"toy.radii": np.array([place[0] for place in request.points])}


HALF: Final = ToyHalf
