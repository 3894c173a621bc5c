"""Axes and grids: where a surface is evaluated, and in which order.

Ranges are inclusive, x and y are independent, any sizes. Values lie `[iy][ix]` everywhere;
a cell's flat index is `iy * nx + ix`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

#: Workers that a job should have units for, several each.
_FLEET: Final = 16


#: Beyond, weights of any size overflow; and so would the arithmetic of axes and figures.
_FARTHEST: Final = 1e30
#: Neighbouring points differ by this share of the farther end at least.
_FINEST: Final = 1e-12


class Axis(BaseModel):
    """`num` evenly spaced points from `min` to `max`, both included."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min: float = Field(
        ge=-_FARTHEST,
        le=_FARTHEST,
        allow_inf_nan=False,
        description="First point, in units of the direction.",
        examples=[-1.0],
    )
    max: float = Field(
        ge=-_FARTHEST,
        le=_FARTHEST,
        allow_inf_nan=False,
        description="Last point, included.",
        examples=[1.0],
    )
    num: int = Field(ge=1, le=10_001, description="Number of points.", examples=[51])

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.num == 1 and self.min != self.max:
            raise ValueError("an axis of one point needs min == max")
        if self.num > 1 and not self.min < self.max:
            raise ValueError(f"min must be below max, got {self.min} and {self.max}")
        apart = self.max - self.min
        if self.num > 1 and apart / (self.num - 1) < _FINEST * max(abs(self.min), abs(self.max)):
            raise ValueError(
                f"{self.num} points from {self.min} to {self.max} cannot be told apart; choose "
                "fewer points or ends farther apart"
            )
        return self

    def points(self) -> NDArray[np.float64]:
        """The points, shape (num,), float64.

        A point that is zero but for rounding is exactly zero, so that the centre of a
        symmetric axis is the trained network itself and not a neighbour 1e-17 away.
        """
        points = np.linspace(self.min, self.max, self.num, dtype=np.float64)
        if self.num > 1:
            step = (self.max - self.min) / (self.num - 1)
            points[np.abs(points) < 1e-9 * step] = 0.0
        return points


class Grid(BaseModel):
    """A plane's two axes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    x: Axis
    y: Axis

    @property
    def shape(self) -> tuple[int, int]:
        """(ny, nx)."""
        return (self.y.num, self.x.num)

    @property
    def cells(self) -> int:
        return self.x.num * self.y.num


def coarse_to_fine(shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Flat indices of every cell, so that each prefix covers the whole grid evenly.

    The first level is a lattice of about 5 points a side (the ends always included); each
    further level halves its spacing. Within a level the order is row-major. A picture made of
    the first few per cent therefore already shows the whole landscape.

    Args:
        shape: (n,) for a line or (ny, nx) for a plane.
    Returns:
        A permutation of range(prod(shape)), int64.
    """
    levels = [_levels(n) for n in shape]
    if len(shape) == 1:
        level = levels[0]
    elif len(shape) == 2:
        level = np.maximum(levels[0][:, None], levels[1][None, :]).ravel()
    else:
        raise ValueError(f"a grid has one or two axes, got shape {shape}")
    return np.argsort(level, kind="stable").astype(np.int64)


def _levels(n: int) -> NDArray[np.int64]:
    """The level at which each index of an axis of n points first appears."""
    spacing = 1
    while n - 1 > spacing * 4:
        spacing *= 2
    level = np.full(n, -1, dtype=np.int64)
    depth = 0
    while (level < 0).any():
        fresh = np.arange(0, n, spacing)
        level[fresh] = np.where(level[fresh] < 0, depth, level[fresh])
        if depth == 0:
            level[n - 1] = 0
        depth += 1
        spacing = max(1, spacing // 2)
    return level


def cut_tiles(
    cells: int, tile_cells: int, *, first_cells: int | None = None
) -> Iterator[tuple[int, int]]:
    """Half-open slices `[start, stop)` of the coarse-to-fine order, in order.

    Args:
        first_cells: of the first tile, each further one being twice as large until `tile_cells`:
            so the first picture does not wait for a whole tile.

    Raises:
        ValueError: a count below one.
    """
    if cells < 1 or tile_cells < 1:
        raise ValueError(
            f"need at least one cell and one cell a tile, got {cells} and {tile_cells}"
        )
    start, size = 0, min(max(first_cells or tile_cells, 1), tile_cells)
    while start < cells:
        yield start, min(start + size, cells)
        start, size = start + size, min(2 * size, tile_cells)


def first_tile_size(tile_cells: int, *, cell_seconds: float) -> int:
    """Cells in a job's first unit: what about a second shows, and no more than a tile."""
    return min(tile_cells, max(1, int(1.0 / max(cell_seconds, 1e-9))))


def tile_size(cells: int, *, cell_seconds: float, tile_seconds: float) -> int:
    """Cells in a unit: about `tile_seconds` of work, yet enough units to keep a fleet busy.

    Work under two seconds in all stays one unit: cutting it finer would cost more in claims
    and transfers than parallel hands could save.
    """
    total = cells * cell_seconds
    if total <= 2.0:
        return cells
    by_time = max(1, int(tile_seconds / max(cell_seconds, 1e-9)))
    # never tiles of much under a second, however many hands there are
    by_share = max(-(-cells // (4 * _FLEET)), int(1.0 / max(cell_seconds, 1e-9)), 1)
    return min(cells, by_time, by_share)
