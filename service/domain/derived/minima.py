"""Minima of a grid: how many interior cells, or plateaus of equal cells, lie below all around them.

Of the grid, not of the function: a convex valley that runs askew between the cells has several.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from service.domain.cells import CellStatus
from service.domain.derived.measure import Measure, undefined
from service.domain.results import DatasetGrid, GridResult


def local_minima(_result: GridResult, dataset: DatasetGrid) -> Measure:
    """How many interior cells, or plateaus of them, lie strictly below all their neighbours."""
    definition = (
        "Number of interior cells, or plateaus (connected cells of equal loss, all of them "
        "interior), whose loss is strictly below that of every neighbour (two on a curve, eight on "
        "a surface), all of them ok. Of the grid, not of the function: minima on the border are "
        "not counted, and a narrow valley that runs askew between the cells shows several."
    )
    loss = np.where(dataset.status == CellStatus.OK, dataset.loss, np.nan)
    if min(loss.shape) < 3:
        return undefined(definition, "needs at least three points along every axis")
    plane = np.atleast_2d(loss)
    low = _no_neighbour_is_lower(plane)
    heads, tails = _equal_neighbours(plane, low)
    plateau = _components(plane.size, heads, tails)
    # a plateau with a lower neighbour somewhere, or one that reaches the border, is no minimum
    falls = np.zeros(plane.size, dtype=bool)
    np.logical_or.at(falls, plateau, ~low.ravel())
    # each plateau is counted at the cell that names it
    named = low.ravel() & (plateau == np.arange(plane.size)) & ~falls
    return Measure(float(named.sum()), definition)


def _steps(plane: NDArray[np.float64]) -> list[tuple[int, int]]:
    """To the neighbours of a cell; a curve is one row."""
    rows = (0,) if len(plane) == 1 else (-1, 0, 1)
    return [(dj, di) for dj in rows for di in (-1, 0, 1) if (dj, di) != (0, 0)]


def _no_neighbour_is_lower(plane: NDArray[np.float64]) -> NDArray[np.bool_]:
    """The interior cells, all neighbours ok, that are at most equal to every one of them."""
    low = np.zeros(plane.shape, dtype=bool)
    inner = slice(None) if len(plane) == 1 else slice(1, -1)
    centre = plane[inner, 1:-1]
    kept = np.ones(centre.shape, dtype=bool)
    for dj, di in _steps(plane):
        # a comparison with NaN is false, so a cell beside a hole is never counted
        kept &= centre <= _window(plane, dj, di)
    low[inner, 1:-1] = kept
    return low


def _window(plane: NDArray[np.float64], dj: int, di: int) -> NDArray[np.float64]:
    """The neighbours of all interior cells in one direction."""
    rows, columns = plane.shape
    inner = slice(None) if rows == 1 else slice(1 + dj, rows - 1 + dj)
    return plane[inner, 1 + di : columns - 1 + di]


def _equal_neighbours(
    plane: NDArray[np.float64], low: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Flat indices of low cells and of neighbours that have the same loss, pair by pair."""
    rows, columns = np.nonzero(low)
    heads, tails = [], []
    for dj, di in _steps(plane):
        equal = plane[rows + dj, columns + di] == plane[rows, columns]
        heads.append((rows * plane.shape[1] + columns)[equal])
        tails.append(((rows + dj) * plane.shape[1] + columns + di)[equal])
    return np.concatenate(heads), np.concatenate(tails)


def _components(size: int, heads: NDArray[np.int64], tails: NDArray[np.int64]) -> NDArray[np.int64]:
    """The smallest index in each one's connected component, by hooking and pointer jumping."""
    name = np.arange(size)
    while True:
        before = name.copy()
        smaller = np.minimum(name[heads], name[tails])
        np.minimum.at(name, before[heads], smaller)
        np.minimum.at(name, before[tails], smaller)
        while not np.array_equal(name, name[name]):
            name = name[name]
        if np.array_equal(name, before):
            return name
