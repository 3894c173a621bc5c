"""One data set's loss at every cell, and how wrong it may be.

The value is a spline through all evaluated cells, of the kernel and the power of the loss that do
best on the audit: log L, L^¼ or L^½, since the loss of a plane spans decades (near a minimum L is
smooth and log L is not). Where it may be wrong is judged without the audit, from the other
evaluated cells alone: the scale of a cell is the geometric mean of how far a cubic and a thin-plate
spline disagree around it and of how badly the cubic one predicts its neighbours when they are left
out. How wrong it may be comes from the audit alone: each audited cell is predicted from all the
others, and the quantile of |error| / scale^½ turns scales into bounds (split conformal prediction,
Lei et al. 2018). Audited cells are random, so what holds of them holds of the cells that nobody
evaluated. All errors are of log L, whatever is interpolated.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter
from scipy.spatial import cKDTree

from workers.adaptive.radial import KERNELS, Floats, interpolate

Mask = NDArray[np.bool_]

#: Cells that may miss the tolerance, as a share of the grid.
PROMISED: Final = 0.05
#: Standard errors of the audit that are counted on top of what is expected to miss: the audit also
#: chose the interpolant, and was looked at after each round.
_CAUTION: Final = 1.5
#: A stated error is meant to hold at this share of the cells. What is promised is 0.95; the
#: difference is for the audit's own chance.
STATED: Final = 0.985
#: Of n audited cells the bounds are larger by this / n: few say little of the worst.
_MARGIN: Final = 15.0
#: What may be interpolated: L to this power, or log L for 0.
_POWERS: Final = (0.0, 0.25, 0.5)
_NAMES: Final = {0.0: "log loss", 0.25: "loss^(1/4)", 0.5: "loss^(1/2)"}
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
        interpolant: its name.
        audited: how many cells were held out.
        within_tolerance, within_stated: how many of these lay within.
    """

    log_loss: Floats
    bound: Floats
    beyond: Floats
    interpolant: str
    audited: int
    within_tolerance: int
    within_stated: int

    def missing(self, free: Mask) -> float:
        """Share of all cells that is expected to miss the tolerance, `free` being not evaluated."""
        return float(self.beyond[free].sum()) / self.beyond.size

    @property
    def caution(self) -> float:
        """How much larger that share may be, for all that so many audited cells can tell."""
        return _CAUTION * math.sqrt(PROMISED * (1 - PROMISED) / self.audited)


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
    known = log_loss[used]
    raised = np.stack([_raised(known, power) for power in _POWERS], axis=1)
    best, values, errors = math.inf, known, known
    name, chosen = "", 0.0
    for kernel in KERNELS:
        fit = interpolate(places[used], raised, places, kernel)
        for column, power in enumerate(_POWERS):
            predicted = (raised - fit.left_out)[held, column]
            found = np.abs(_lowered(predicted, power, known) - known[held])
            badness = _badness(found, limit)
            if badness < best:
                best, errors = badness, found
                values = _lowered(fit.values[:, column], power, known)
                name, chosen = f"{kernel} radial basis of {_NAMES[power]}", power
    scale = _scale(shape, places, log_loss, base, limit, chosen)
    ratios = np.sort(errors / scale[audit])
    count = len(ratios)
    # the conformal rank; with too few audited cells for it, the worst of them
    rank = min(count, math.ceil((count + 1) * STATED))
    widest = ratios[rank - 1] * (1 + _MARGIN / count)
    bound = np.round(np.minimum(widest * scale, _MOST), _DECIMALS)
    beyond = 1 - np.searchsorted(ratios, limit / scale, side="right") / count
    return Estimate(
        log_loss=np.round(values, _DECIMALS),
        bound=bound,
        beyond=beyond,
        interpolant=name,
        audited=count,
        within_tolerance=int((errors <= limit).sum()),
        within_stated=int((errors <= bound[audit] + 10.0**-_DECIMALS).sum()),
    )


def _raised(log_loss: Floats, power: float) -> Floats:
    """L^power, or log L for 0."""
    return log_loss if power == 0 else np.exp(power * log_loss)


def _lowered(values: Floats, power: float, known: Floats) -> Floats:
    """log L from what was interpolated, kept within the known values and as much again: a spline
    far from them knows nothing.
    """
    low, high = float(known.min()), float(known.max())
    if power != 0:
        floor = math.exp(power * (2 * low - high))
        values = np.log(np.maximum(values, floor)) / power
    kept: Floats = np.clip(values, 2 * low - high, 2 * high - low)
    return kept


def _badness(errors: Floats, limit: float) -> float:
    # beyond twice the tolerance it does not matter how far
    return float(np.mean(np.minimum(errors, 2 * limit)))


def _scale(
    shape: tuple[int, int],
    places: Floats,
    log_loss: Floats,
    base: Mask,
    limit: float,
    power: float,
) -> Floats:
    """Square root of the expected size of errors up to a factor, shape (cells,), positive."""
    known = log_loss[base]
    raised = _raised(known, power)[:, None]
    cubic = interpolate(places[base], raised, places, "cubic")
    thin = interpolate(places[base], raised, places, "thin_plate_spline")
    apart = np.abs(
        _lowered(cubic.values[:, 0], power, known) - _lowered(thin.values[:, 0], power, known)
    )
    apart = maximum_filter(apart.reshape(shape), size=3, mode="nearest").ravel()
    missed = np.abs(_lowered((raised - cubic.left_out)[:, 0], power, known) - known)
    near = min(_NEIGHBOURS, int(base.sum()))
    distance, which = cKDTree(places[base]).query(places, k=near)
    weight = 1 / np.maximum(distance, 0.3) ** 2
    around = (missed[which] * weight).sum(axis=1) / weight.sum(axis=1)
    scale: Floats = np.sqrt(np.sqrt(apart * around) + _FLOOR * limit)
    return scale


def _places(shape: tuple[int, int]) -> Floats:
    """(ix, iy) of every cell in flat order, shape (cells, 2)."""
    ny, nx = shape
    return np.stack([np.tile(np.arange(nx), ny), np.repeat(np.arange(ny), nx)], axis=1).astype(
        np.float64
    )
