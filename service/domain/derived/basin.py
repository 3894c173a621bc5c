"""The basin around a surface's centre: how steeply it rises and how wide it is."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from service.domain.cells import CellStatus
from service.domain.derived.measure import Measure, undefined
from service.domain.results import DatasetGrid, GridResult

#: Radius of the disc for sharpness, in units of the (filter-normalised) directions.
RADIUS = 0.5
#: Rise above the centre that ends the basin, in units of the loss.
RISE = 1.0
_RAYS = 360


def sharpness(result: GridResult, dataset: DatasetGrid) -> Measure:
    """The largest rise above the centre within a disc."""
    assert result.y is not None  # noqa: S101 - measured on surfaces only
    reach = min(-result.x[0], result.x[-1], -result.y[0], result.y[-1])
    radius = min(RADIUS, float(reach))
    definition = (
        f"Largest loss minus the centre's, over the centre and the grid's cells with √(α²+β²) ≤ r; "
        f"r = {RADIUS:g}, or the largest disc that fits the grid. Of cells alone: it grows towards "
        "the function's own as the grid gets finer. In units of the directions, which are "
        "filter-normalised by default."
    )
    if radius <= 0:
        return undefined(definition, "the grid does not surround the centre")
    if dataset.anchors.status[0] != CellStatus.OK:
        return undefined(definition, "the loss at the centre is not ok")
    distance = np.hypot(result.x[None, :], result.y[:, None])
    inside = distance <= radius * (1 + 1e-9)
    worst = int(dataset.status[inside].max(initial=CellStatus.OK))
    if worst != CellStatus.OK:
        word = CellStatus(worst).word
        return undefined(definition, f"a cell within the radius {radius:g} is {word}")
    if not (inside & (distance > 0)).any():
        # the centre alone would make every coarse grid look flat
        return undefined(definition, f"no cell but the centre lies within the radius {radius:g}")
    shown = np.where(inside, dataset.loss, -np.inf)
    flat = int(np.argmax(shown))
    iy, ix = np.unravel_index(flat, shown.shape)
    # centre and top share samples, so the root of the sum of squares is an upper bound
    error = math.hypot(float(dataset.stderr.flat[flat]), float(dataset.anchors.stderr[0]))
    return Measure(
        max(0.0, float(shown[iy, ix] - dataset.anchors.loss[0])),
        definition,
        stderr=error,
        details={"radius": radius, "at": [float(result.x[ix]), float(result.y[iy])]},
    )


def basin_width(result: GridResult, dataset: DatasetGrid) -> Measure:
    """The diameter of the region around the centre in which the loss rises by less than `RISE`."""
    assert result.y is not None  # noqa: S101 - measured on surfaces only
    definition = (
        f"Diameter of the disc with the area of the region, seen from the centre, in which the "
        f"loss stays below the centre's plus {RISE:g}: the first crossing along {_RAYS} rays on "
        "the bilinear interpolant, which overestimates a convex loss between cells. A cell that is "
        "not ok ends a ray. `at_least` when a ray leaves the grid first, or ends at a cell that is "
        "neither ok nor posinf, whose loss is not known."
    )
    if not (result.x[0] < 0 < result.x[-1] and result.y[0] < 0 < result.y[-1]):
        return undefined(definition, "the grid does not surround the centre")
    if dataset.anchors.status[0] != CellStatus.OK:
        return undefined(definition, "the loss at the centre is not ok")
    level = float(dataset.anchors.loss[0]) + RISE
    field = np.where(dataset.status == CellStatus.OK, dataset.loss, np.inf)
    middle = np.zeros((1, 1))
    if not _bilinear(result.x, result.y, field, middle, middle)[0, 0] <= level:
        # the centre lies between cells that are outside the basin already
        return undefined(definition, "the cells around the centre do not resolve the basin")
    unknown = (dataset.status != CellStatus.OK) & (dataset.status != CellStatus.POSINF)
    radii, open_rays = _first_crossings(result.x, result.y, field, unknown, level)
    return Measure(
        float(2 * np.sqrt(np.mean(radii**2))),
        definition,
        details={"rise": RISE, "at_least": bool(open_rays)},
    )


def _first_crossings(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    field: NDArray[np.float64],
    unknown: NDArray[np.bool_],
    level: float,
) -> tuple[NDArray[np.float64], int]:
    """Distance at which each ray first exceeds `level`, and how many rays are not known to.

    Args:
        unknown: cells whose loss is not known; the field is infinite there.
    """
    hx, hy = x[1] - x[0], y[1] - y[0]
    angles = np.arange(_RAYS) * (2 * np.pi / _RAYS)
    cosines, sines = np.cos(angles), np.sin(angles)
    with np.errstate(divide="ignore"):
        to_x = np.where(cosines > 0, x[-1] / cosines, np.where(cosines < 0, x[0] / cosines, np.inf))
        to_y = np.where(sines > 0, y[-1] / sines, np.where(sines < 0, y[0] / sines, np.inf))
    edge = np.minimum(to_x, to_y)
    # eight samples a cell: between two of them the interpolant is as good as linear
    steps = math.ceil(float(edge.max()) / (min(hx, hy) / 8)) + 1
    t = np.linspace(0.0, 1.0, steps)[None, :] * edge[:, None]
    values = _bilinear(x, y, field, t * cosines[:, None], t * sines[:, None])
    above = values > level
    first = np.argmax(above, axis=1)
    crosses = above.any(axis=1)
    rows = np.arange(_RAYS)
    low, high = values[rows, first - 1], values[rows, first]
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        part = np.where(np.isfinite(high), (level - low) / (high - low), 0.0)
    crossing = t[rows, first - 1] + part * (t[rows, first] - t[rows, first - 1])
    radii = np.where(crosses, crossing, edge)
    ends = t[rows, first]
    blind = _bilinear(x, y, unknown.astype(np.float64), ends * cosines, ends * sines) > 0
    return radii, int((~crosses | blind).sum())


def _bilinear(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    field: NDArray[np.float64],
    px: NDArray[np.float64],
    py: NDArray[np.float64],
) -> NDArray[np.float64]:
    """The bilinear interpolant at points inside the grid; infinite beside an infinite cell."""
    u = np.clip((px - x[0]) / (x[1] - x[0]), 0, len(x) - 1)
    v = np.clip((py - y[0]) / (y[1] - y[0]), 0, len(y) - 1)
    i = np.minimum(u.astype(np.int64), len(x) - 2)
    j = np.minimum(v.astype(np.int64), len(y) - 2)
    a, b = u - i, v - j
    total: NDArray[np.float64] = np.zeros_like(u)
    for dj, di, weight in (
        (0, 0, (1 - a) * (1 - b)),
        (0, 1, a * (1 - b)),
        (1, 0, (1 - a) * b),
        (1, 1, a * b),
    ):
        corner = field[j + dj, i + di]
        # a weight of zero must not turn an infinite corner into NaN
        total += np.where(weight > 0, np.where(weight > 0, weight, 1) * corner, 0.0)
    return total
