"""Shape read off a grid's own second differences: convexity and roughness.

These speak of the slice alone. Negative curvature in a slice implies negative curvature of the
full Hessian; its absence implies nothing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from service.domain.cells import CellStatus
from service.domain.derived.measure import Measure, undefined
from service.domain.results import DatasetGrid, GridResult

#: Second differences smaller than this share of the losses involved are rounding, not shape:
#: a few float32 units in the last place.
ROUNDING = 1e-6


def nonconvex_share(result: GridResult, dataset: DatasetGrid) -> Measure:
    """Share of interior cells at which the slice curves downwards in some direction."""
    definition = (
        "Share of interior cells, with all neighbours ok, where the smaller eigenvalue of the "
        "matrix of second differences (on a curve: the second difference) is negative beyond "
        f"rounding ({ROUNDING:g} of the largest loss in the stencil)."
    )
    if min(dataset.loss.shape) < 3:
        return undefined(definition, "needs at least three points along every axis")
    lowest, scale = _lowest_second_difference(result, dataset)
    known = np.isfinite(lowest)
    if not known.any():
        return undefined(definition, "no interior cell has all its neighbours ok")
    negative = lowest[known] < -ROUNDING * scale[known]
    return Measure(float(negative.mean()), definition, details={"interior_cells": int(known.sum())})


def roughness(result: GridResult, dataset: DatasetGrid) -> Measure:
    """How far cells stray from the mean of their neighbours, against the grid's own spread."""
    definition = (
        "Root mean square, over interior cells with all neighbours ok, of the loss minus the "
        "mean of its nearest neighbours (two on a curve, four on a surface), divided by the "
        "standard deviation of the loss over the ok cells. Compare equal grids only: it falls "
        "with the square of the step on a smooth surface."
    )
    loss = _shown(dataset)
    if min(loss.shape) < 3:
        return undefined(definition, "needs at least three points along every axis")
    if loss.ndim == 1:
        stray = loss[1:-1] - (loss[:-2] + loss[2:]) / 2
    else:
        around = loss[:-2, 1:-1] + loss[2:, 1:-1] + loss[1:-1, :-2] + loss[1:-1, 2:]
        stray = loss[1:-1, 1:-1] - around / 4
    known = np.isfinite(stray)
    if not known.any():
        return undefined(definition, "no interior cell has all its neighbours ok")
    spread = float(np.nanstd(loss))
    if spread == 0.0:
        return Measure(0.0, definition)
    return Measure(float(np.sqrt(np.mean(stray[known] ** 2)) / spread), definition)


def _lowest_second_difference(
    result: GridResult, dataset: DatasetGrid
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Smaller eigenvalue of the scaled second differences, and the size rounding is held against.

    Steps are scaled out (differences, not derivatives), so that a threshold relative to the
    losses means the same on any range; the sign of the eigenvalue, which is what is counted,
    depends on the steps' ratio only, which is kept.
    """
    f = _shown(dataset)
    if f.ndim == 1:
        triple = np.stack([f[:-2], f[1:-1], f[2:]])
        second = triple[0] - 2 * triple[1] + triple[2]
        return second, np.max(np.abs(triple), axis=0)
    hx = result.x[1] - result.x[0]
    assert result.y is not None  # noqa: S101 - a two-dimensional grid has a y axis
    hy = result.y[1] - result.y[0]
    h = max(hx, hy)
    c = f[1:-1, 1:-1]
    fxx = (f[1:-1, 2:] - 2 * c + f[1:-1, :-2]) * (h / hx) ** 2
    fyy = (f[2:, 1:-1] - 2 * c + f[:-2, 1:-1]) * (h / hy) ** 2
    fxy = (f[2:, 2:] - f[2:, :-2] - f[:-2, 2:] + f[:-2, :-2]) / 4 * (h / hx) * (h / hy)
    lowest = (fxx + fyy) / 2 - np.hypot((fxx - fyy) / 2, fxy)
    rows, columns = c.shape
    stencil = np.stack([f[i : i + rows, j : j + columns] for i in range(3) for j in range(3)])
    # the mixed difference divides by both steps, so a fine axis magnifies its rounding
    scale = np.max(np.abs(stencil), axis=0) * (h / min(hx, hy)) ** 2
    return lowest, scale


def _shown(dataset: DatasetGrid) -> NDArray[np.float64]:
    return np.where(dataset.status == CellStatus.OK, dataset.loss, np.nan)
