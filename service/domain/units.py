"""Units: the pieces of a job that workers claim, and the plan that cuts them.

ingest                         (a model's own job)
prepare → tile … tile → finalise
"""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict

from service.domain.digests import Digest
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

    `x` and `y` are the axes' points; `y` is None for a line. `order` is always
    `grids.coarse_to_fine(shape)`; tiles are slices of it.
    """

    model_config = ConfigDict(frozen=True)

    x: tuple[float, ...]
    y: tuple[float, ...] | None
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
        return (len(self.x),) if self.y is None else (len(self.y), len(self.x))

    @property
    def cells(self) -> int:
        return len(self.x) * (1 if self.y is None else len(self.y))
