"""The first cells: a coarse lattice to interpolate from, and a random audit spread over the rest.

Owns the random draws. The audit is stratified, one cell of each of equal blocks, so that every part
of the plane is checked; its seed is in the plan.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]

#: Points of the lattice along an axis at most, and how many points of the grid stand for one where
#: there are fewer.
_LATTICE: Final = 10
_SPACING: Final = 4
#: Fewer audit cells than this say too little about a quantile.
FEWEST_AUDITED: Final = 60
#: More say no more that is worth their cost.
_MOST_AUDITED: Final = 400
#: Where the first cells are more than this share of the grid, all cells are evaluated at once.
_WHOLE: Final = 0.5


@dataclass(frozen=True)
class Round:
    """Cells to evaluate, ascending, and all cells that are held out from then on, ascending."""

    cells: Indices
    audit: Indices


def first_round(shape: tuple[int, int], *, audit: float, seed: int, always: Indices) -> Round:
    """The lattice, `always` (the centre), and the audit; every cell of a small grid.

    Args:
        shape: (ny, nx).
        audit: share of the grid's cells to hold out.
        always: flat indices that must be among the evaluated.
    """
    ny, nx = shape
    cells = ny * nx
    base = np.zeros(shape, dtype=np.bool_)
    base[np.ix_(_spread(ny), _spread(nx))] = True
    base.flat[always] = True
    wanted = min(_MOST_AUDITED, max(FEWEST_AUDITED, round(audit * cells)))
    if base.sum() + wanted > _WHOLE * cells:
        return Round(np.arange(cells, dtype=np.int64), np.zeros(0, dtype=np.int64))
    held = stratified(~base, wanted, np.random.Generator(np.random.PCG64(seed)))
    base.flat[held] = True
    return Round(np.flatnonzero(base), held)


def stratified(free: NDArray[np.bool_], wanted: int, random: np.random.Generator) -> Indices:
    """About `wanted` of the free cells (ny, nx), one drawn from each of equal blocks; ascending."""
    ny, nx = free.shape
    rows = max(1, min(ny, round((wanted * ny / nx) ** 0.5)))
    columns = max(1, min(nx, -(-wanted // rows)))
    block = (np.arange(ny) * rows // ny)[:, None] * columns + np.arange(nx) * columns // nx
    key = random.random(free.shape)
    key[~free] = np.inf
    order = np.lexsort((key.ravel(), block.ravel()))
    _, first = np.unique(block.ravel()[order], return_index=True)
    drawn = order[first]
    return np.sort(drawn[free.ravel()[drawn]]).astype(np.int64)


def _spread(count: int) -> Indices:
    points = min(_LATTICE, max(2, -(-count // _SPACING)))
    return np.unique(np.round(np.linspace(0, count - 1, points))).astype(np.int64)
