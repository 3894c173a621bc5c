"""Units: the pieces of a job that workers claim, and the plan that cuts them.

ingest                         (a model's own job)
prepare → tile … tile → finalise
"""

from __future__ import annotations

from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from service.domain.digests import Digest
from service.domain.grids import coarse_to_fine
from service.domain.ids import DirectionId
from service.domain.jobs import BufferPolicy, Precision


class UnitKind(StrEnum):
    INGEST = "ingest"
    PREPARE = "prepare"
    TILE = "tile"
    FINALISE = "finalise"


class PlannedDirection(BaseModel):
    """A direction as materialised by `prepare`: the very tensors every tile uses."""

    model_config = ConfigDict(frozen=True)

    axis: str
    id: DirectionId
    object: Digest
    norm: float


class JobPlan(BaseModel):
    """What `prepare` decided once for all tiles, so that bits do not depend on who computes.

    `x` and `y` are the axes' points; `y` is None for a line. `anchors` are points that every
    result must know (the centre of a plane, both ends of a line); those that the grid misses
    are evaluated besides it, with flat indices from `cells` on. Tiles are slices of `order()`.
    """

    model_config = ConfigDict(frozen=True)

    x: tuple[float, ...]
    y: tuple[float, ...] | None
    anchors: tuple[tuple[float, float], ...]
    directions: tuple[PlannedDirection, ...]
    cosine: float | None
    orthogonalised: bool
    precision: Precision
    buffers: BufferPolicy
    batch_size: int
    threads: int
    cell_seconds: float
    tile_cells: int
    peak_memory_bytes: int | None = None
    device: str

    @property
    def shape(self) -> tuple[int, ...]:
        """The grid's shape, (n,) or (ny, nx)."""
        return (len(self.x),) if self.y is None else (len(self.y), len(self.x))

    @property
    def cells(self) -> int:
        """Cells of the grid, without anchors beside it."""
        return len(self.x) * (1 if self.y is None else len(self.y))

    @property
    def evaluations(self) -> int:
        """Points to evaluate in all: the cells and the anchors that the grid misses."""
        return self.cells + len(self._beside())

    def coordinates(self) -> NDArray[np.float64]:
        """(α, β) of every flat index, shape (evaluations, 2); β is 0 on a line."""
        return np.concatenate(
            [
                grid_coordinates(self.x, self.y),
                np.array(self._beside(), dtype=np.float64).reshape(-1, 2),
            ]
        )

    def order(self) -> NDArray[np.int64]:
        """Flat indices in the order of work: anchors, then the grid from coarse to fine."""
        beside = np.arange(self.cells, self.evaluations, dtype=np.int64)
        return np.concatenate([beside, coarse_to_fine(self.shape)])

    def anchor_indices(self) -> tuple[int, ...]:
        """The flat index of each anchor, on the grid or beside it."""
        known = [tuple(point) for point in self.coordinates().tolist()]
        return tuple(known.index(anchor) for anchor in self.anchors)

    def _beside(self) -> tuple[tuple[float, float], ...]:
        ys = (0.0,) if self.y is None else self.y
        return tuple(a for a in self.anchors if a[0] not in self.x or a[1] not in ys)


def grid_coordinates(x: tuple[float, ...], y: tuple[float, ...] | None) -> NDArray[np.float64]:
    """(α, β) of every cell in flat order `iy * nx + ix`, shape (cells, 2)."""
    ys = np.zeros(1) if y is None else np.asarray(y, dtype=np.float64)
    xs = np.asarray(x, dtype=np.float64)
    return np.stack([np.tile(xs, len(ys)), np.repeat(ys, len(xs))], axis=1)


#: Where a line's ends and a plane's centre lie.
LINE_ANCHORS: tuple[tuple[float, float], ...] = ((0.0, 0.0), (1.0, 0.0))
PLANE_ANCHORS: tuple[tuple[float, float], ...] = ((0.0, 0.0),)
