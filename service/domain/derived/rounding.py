"""How far a grid's losses may be from the slice's: the error that differences are held against.

Owns the error model; measures nothing.

A loss is the mean, summed in float64, of per-sample losses computed in float32, so that its error
is relative to the loss itself: a few unit roundoffs (2⁻²⁴ each, Higham 2002, §2.2) times it. A
large loss beside a small one brings its own error along and no more. Interpolated cells of an
adaptive surface state a relative error of their own, which is added.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from service.domain.adaptive import ESTIMATED_ERROR
from service.domain.cells import CellStatus
from service.domain.results import DatasetGrid

#: Four unit roundoffs of float32, relative to the loss.
ROUNDING: Final = 2.0**-22
#: float32's least number, and that below which numbers are multiples of it.
LEAST: Final = 2.0**-149
SMALL: Final = 2.0**-126


def known_loss(dataset: DatasetGrid) -> NDArray[np.float64]:
    """The loss of the cells that are ok, NaN elsewhere, in units in which sums stay finite.

    The unit is a power of two, so that nothing is rounded and every ratio is kept.
    """
    loss = np.where(dataset.status == CellStatus.OK, dataset.loss, np.nan)
    scaled: NDArray[np.float64] = np.ldexp(loss, -_exponent(loss))
    return scaled


def error_of(dataset: DatasetGrid, loss: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of each cell's loss, in the loss's units.

    Args:
        loss: from `known_loss`.
    """
    relative = np.full(loss.shape, ROUNDING)
    stated = dataset.extra.get(ESTIMATED_ERROR)
    if stated is not None:
        # a cell that cannot say how wrong it is decides nothing
        relative = relative + np.where(np.isfinite(stated), np.abs(stated), np.inf)
    with np.errstate(invalid="ignore"):
        error: NDArray[np.float64] = np.where(loss == 0, 0.0, relative * np.abs(loss))
    ok = np.where(dataset.status == CellStatus.OK, dataset.loss, np.nan)
    if not np.nanmax(np.abs(ok), initial=0.0) >= LEAST:
        # no float32 had a part in numbers like these
        return error
    # near its least number a float32 is a multiple of that, or nothing
    least: float = np.ldexp(LEAST, -_exponent(ok))
    error += np.where(np.abs(ok) < SMALL, least, 0.0)
    return error


def _exponent(loss: NDArray[np.float64]) -> int:
    """Of the unit in which the largest of these is about 1."""
    sizes = np.abs(loss[np.isfinite(loss)])
    largest = float(sizes.max(initial=0.0))
    return int(np.frexp(largest)[1]) if largest > 0.0 else 0
