"""One data set's log-loss at every cell, and how wrong it may be.

The value is a spline through all evaluated cells, of the kernel that does best on the audit. Where
it may be wrong is judged without the audit, from the other evaluated cells alone: the scale of a
cell is the geometric mean of how far a cubic and a thin-plate spline disagree around it and of how
badly the cubic one predicts its neighbours when they are left out. How wrong it may be comes from
the audit alone: each audited cell is predicted from all the others, and the quantile of
|error| / scale^½ turns scales into bounds (split conformal prediction, Lei et al. 2018). Audited
cells are random, so what holds of them holds of the cells that nobody evaluated. Errors are of
log L, because the loss of a plane spans decades.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter
from scipy.spatial import cKDTree

from workers.sampling.radial import KERNELS, Floats, Kernel, interpolate

Mask = NDArray[np.bool_]

#: A stated error is meant to hold at this share of the cells.
STATED: Final = 0.97
#: Added to a cell's scale, as a share of the tolerance: agreement by chance is no accuracy.
_FLOOR: Final = 0.1
_NEIGHBOURS: Final = 4
#: No larger bound is stated: eᵇ must stay a number.
_MOST: Final = 20.0
#: Values are rounded to this many decimals, below which machines differ.
_DECIMALS: Final = 10


@dataclass(frozen=True)
class Estimate:
    """Of every cell, shape (cells,).

    Attributes:
        log_loss: the interpolant's.
        bound: of |log L̂ − log L|, stated for a cell that was not evaluated.
        beyond: the chance that it misses the tolerance there.
        kernel: of the interpolant.
        audited: how many cells were held out.
        within_tolerance, within_stated: how many of these lay within.
    """

    log_loss: Floats
    bound: Floats
    beyond: Floats
    kernel: Kernel
    audited: int
    within_tolerance: int
    within_stated: int


def estimate(
    shape: tuple[int, int], log_loss: Floats, base: Mask, audit: Mask, tolerance: float
) -> Estimate:
    """The estimate from the cells in `base` and `audit`.

    Args:
        log_loss: shape (cells,), known at base and audit.
        base: cells that were chosen, shape (cells,).
        audit: cells that were drawn, shape (cells,); none of them in `base`.
        tolerance: of the loss, relative.
    """
    places = _places(shape)
    limit = math.log1p(tolerance)
    used = base | audit
    held = audit[used]
    fits = {k: interpolate(places[used], log_loss[used], places, k) for k in KERNELS}
    errors = {k: np.abs(fit.left_out[held]) for k, fit in fits.items()}
    kernel = min(KERNELS, key=lambda k: _badness(errors[k], limit))
    scale = _scale(shape, places, log_loss, base, limit)
    ratios = np.sort(errors[kernel] / scale[audit])
    count = len(ratios)
    # the conformal rank; with too few audited cells for it, the worst of them
    rank = min(count, math.ceil((count + 1) * STATED))
    bound = np.round(np.minimum(ratios[rank - 1] * scale, _MOST), _DECIMALS)
    with np.errstate(over="ignore"):
        beyond = 1 - np.searchsorted(ratios, limit / scale, side="right") / (count + 1)
    return Estimate(
        log_loss=np.round(_restrained(fits[kernel].values, log_loss[used]), _DECIMALS),
        bound=bound,
        beyond=beyond,
        kernel=kernel,
        audited=count,
        within_tolerance=int((errors[kernel] <= limit).sum()),
        within_stated=int((errors[kernel] <= bound[audit] + 10.0**-_DECIMALS).sum()),
    )


def _restrained(values: Floats, known: Floats) -> Floats:
    """Kept within the known values and as much again: a spline far from them knows nothing."""
    low, high = float(known.min()), float(known.max())
    return np.clip(values, 2 * low - high, 2 * high - low)


def _badness(errors: Floats, limit: float) -> float:
    # beyond twice the tolerance it does not matter how far
    return float(np.mean(np.minimum(errors, 2 * limit)))


def _scale(
    shape: tuple[int, int], places: Floats, log_loss: Floats, base: Mask, limit: float
) -> Floats:
    """Square root of the expected size of errors up to a factor, shape (cells,), positive."""
    cubic = interpolate(places[base], log_loss[base], places, "cubic")
    thin = interpolate(places[base], log_loss[base], places, "thin_plate_spline")
    apart = np.abs(cubic.values - thin.values).reshape(shape)
    apart = maximum_filter(apart, size=3, mode="nearest").ravel()
    near = min(_NEIGHBOURS, int(base.sum()))
    distance, which = cKDTree(places[base]).query(places, k=near)
    weight = 1 / np.maximum(distance, 0.3) ** 2
    missed = (np.abs(cubic.left_out)[which] * weight).sum(axis=1) / weight.sum(axis=1)
    scale: Floats = np.sqrt(np.sqrt(apart * missed) + _FLOOR * limit)
    return scale


def _places(shape: tuple[int, int]) -> Floats:
    """(ix, iy) of every cell in flat order, shape (cells, 2)."""
    ny, nx = shape
    return np.stack([np.tile(np.arange(nx), ny), np.repeat(np.arange(ny), nx)], axis=1).astype(
        np.float64
    )
