"""Shape read off a grid's own second differences: convexity and roughness.

These speak of the slice alone. Negative curvature in a slice implies negative curvature of the
full Hessian; its absence implies nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from service.domain.derived.measure import Measure, undefined
from service.domain.derived.rounding import ROUNDING, error_of, known_loss
from service.domain.results import DatasetGrid, GridResult

_NEEDS_THREE = "needs at least three points along every axis"
_NO_INTERIOR = "no interior cell has all its neighbours ok"


def nonconvex_share(result: GridResult, dataset: DatasetGrid) -> Measure:
    """Share of interior cells at which the slice lies above one of its chords.

    A directional second difference f(c−v) − 2f(c) + f(c+v) is not negative for any convex f,
    whatever the spacing. Their minimum over the directions of a wide stencil approximates the
    smallest second derivative (Oberman 2008, "Wide stencil finite difference schemes for the
    elliptic Monge-Ampère equation and functions of the eigenvalues of the Hessian"); the stencil
    grows with the grid's resolution, and its length falls, so that the share converges.
    """
    error = f"2⁻²² of each loss ({ROUNDING:.1e}), and what an interpolated cell states of itself"
    if result.y is None:
        definition = (
            "Share of interior points with both neighbours ok at which the second difference "
            f"f(c−h) − 2f(c) + f(c+h) is negative beyond the losses' errors: {error}. 0 for a "
            "convex curve, at any spacing."
        )
    else:
        definition = (
            "Share of interior cells with all eight neighbours ok at which, in at least one "
            "direction v, the second difference f(c−v) − 2f(c) + f(c+v) is negative beyond the "
            f"losses' errors: {error}. Neighbours lie at equal spacing: every k-th cell along the "
            "finer axis, k being the steps' ratio, rounded. Directions are those between "
            "adjacent cells, and between cells up to R of these spacings apart along either axis, "
            "R = max(2, ⌊√n/2⌋) for n spacings along the shorter axis, where both ends are ok. 0 "
            "for a convex surface, at any spacing; a direction of negative curvature between two "
            "of these is missed."
        )
    f = known_loss(dataset)
    if min(f.shape) < 3:
        return undefined(definition, _NEEDS_THREE)
    if result.y is None:
        plane, stride = f[None, :], (0, 1)
    else:
        plane, stride = f, _stride(result.x, result.y)
    interior = _surrounded(np.isfinite(plane), stride)
    if not interior.any():
        return undefined(definition, _NO_INTERIOR)
    negative = _bends_down(plane, error_of(dataset, f).reshape(plane.shape), stride)
    return Measure(
        float(negative[interior].mean()),
        definition,
        details={"interior_cells": int(interior.sum())},
    )


def roughness(_result: GridResult, dataset: DatasetGrid) -> Measure:
    """How far cells stray from the mean of their neighbours, against the grid's own spread."""
    definition = (
        "Root mean square, over interior cells with their nearest neighbours ok, of the loss minus "
        "the mean of these (two on a curve, four on a surface), divided by the standard deviation "
        "of the loss over the ok cells; 0 where that is within rounding (2⁻²² of the largest "
        "|loss|). Of the grid, not of the function: it falls with the square of the step on a "
        "smooth surface, so compare equal grids only."
    )
    loss = known_loss(dataset)
    if min(loss.shape) < 3:
        return undefined(definition, _NEEDS_THREE)
    if loss.ndim == 1:
        stray = loss[1:-1] - (loss[:-2] + loss[2:]) / 2
    else:
        around = loss[:-2, 1:-1] + loss[2:, 1:-1] + loss[1:-1, :-2] + loss[1:-1, 2:]
        stray = loss[1:-1, 1:-1] - around / 4
    known = np.isfinite(stray)
    if not known.any():
        return undefined(definition, _NO_INTERIOR)
    spread = float(np.nanstd(loss))
    if spread <= ROUNDING * float(np.nanmax(np.abs(loss))):
        return Measure(0.0, definition)
    return Measure(float(np.sqrt(np.mean(stray[known] ** 2)) / spread), definition)


def _stride(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[int, int]:
    """Cells along y and x that are as far apart as the other axis's step, as far as they fit."""
    ratio = float((y[1] - y[0]) / (x[1] - x[0]))
    return (
        min(max(1, _nearest(1 / ratio)), (len(y) - 1) // 2),
        min(max(1, _nearest(ratio)), (len(x) - 1) // 2),
    )


def _nearest(ratio: float) -> int:
    """The nearest whole number; of two, the smaller, whatever rounding made of the half."""
    return math.ceil(ratio - 0.5 - 1e-9 * ratio)


def _surrounded(known: NDArray[np.bool_], stride: tuple[int, int]) -> NDArray[np.bool_]:
    """The cells that are known, with all neighbours at a stride."""
    rows, columns = stride
    inside = np.zeros(known.shape, dtype=bool)
    middle = (slice(rows, known.shape[0] - rows), slice(columns, known.shape[1] - columns))
    inside[middle] = known[middle]
    for dj in (-rows, 0, rows):
        for di in (-columns, 0, columns):
            inside[middle] &= known[_shifted(middle, dj, di)]
    return inside


def _bends_down(
    f: NDArray[np.float64], error: NDArray[np.float64], stride: tuple[int, int]
) -> NDArray[np.bool_]:
    """Where a second difference in some direction is negative beyond the error of its losses."""
    found = np.zeros(f.shape, dtype=bool)
    for dj, di in _directions(f.shape, stride):
        rows, columns = abs(dj), abs(di)
        middle = (slice(rows, f.shape[0] - rows), slice(columns, f.shape[1] - columns))
        ahead, behind = _shifted(middle, dj, di), _shifted(middle, -dj, -di)
        second = f[ahead] + f[behind] - 2 * f[middle]
        doubt = error[ahead] + error[behind] + 2 * error[middle]
        # a comparison with NaN is false, so a cell that is not ok decides nothing
        found[middle] |= second < -doubt
    return found


def _directions(shape: tuple[int, ...], stride: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """Steps (rows, columns) of the stencil, one of each pair of opposite ones, that fit."""
    rows, columns = shape[0], shape[1]
    if stride[0] == 0:
        yield (0, 1)
        return
    if stride != (1, 1):
        yield from ((0, 1), (1, 0), (1, 1), (-1, 1))
    reach = max(2, math.isqrt(min(rows // stride[0], columns // stride[1])) // 2)
    for j in range(-reach, reach + 1):
        for i in range(reach + 1):
            if math.gcd(i, j) != 1 or (i == 0 and j < 0):
                continue
            dj, di = j * stride[0], i * stride[1]
            if 2 * abs(dj) < rows and 2 * di < columns:
                yield dj, di


def _shifted(middle: tuple[slice, slice], dj: int, di: int) -> tuple[slice, slice]:
    rows, columns = middle
    return (
        slice(rows.start + dj, rows.stop + dj),
        slice(columns.start + di, columns.stop + di),
    )
