"""After each round: evaluate more cells, and which, or be content.

Content means: so few cells are expected to miss the tolerance that, with caution and for every data
set, no more than `PROMISED` of all do. Cells that have no logarithm — not finite, zero or less —
are data, and nothing is interpolated across them: a cell is evaluated whenever one of its nearest
evaluated cells is such.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from workers.adaptive.design import FEWEST_AUDITED, Round, stratified
from workers.adaptive.estimate import PROMISED, Estimate, Mask, estimate

Floats = NDArray[np.float64]

#: How many more cells a round evaluates, as a share of those evaluated: few where few are missing.
_LEAST_GROWTH: Final = 0.08
_MOST_GROWTH: Final = 0.6
_FEWEST_MORE: Final = 12
#: A cell's stencil: so many nearest evaluated cells.
_STENCIL: Final = 8
#: Fewer values than this carry no spline that one could trust.
_FEWEST_VALUES: Final = 16
#: Beyond this share of evaluated cells there is little left to save.
_WHOLE: Final = 0.75


@dataclass(frozen=True)
class Known:
    """What was evaluated so far; arrays have shape (cells,), `losses` one row per data set.

    Attributes:
        losses: means over the samples, where evaluated.
        usable: finite and ok, one row per data set.
        evaluated: whatever came of it.
        audit: evaluated cells that are held out.
    """

    shape: tuple[int, int]
    losses: Floats
    usable: NDArray[np.bool_]
    evaluated: Mask
    audit: Mask


def decide(known: Known, *, tolerance: float, seed: int) -> Round | tuple[Estimate, ...]:
    """The next round, or the estimates, one for each data set, that need no more.

    Estimates are empty when every cell was evaluated.

    Args:
        seed: of cells drawn to fill up the audit.
    """
    free = ~known.evaluated
    if not free.any():
        return ()
    with np.errstate(divide="ignore", invalid="ignore"):
        log_losses = np.log(known.losses)
    usable = known.usable & np.isfinite(log_losses)
    must = free & _touching(known, usable)
    good = usable.all(axis=0) & known.evaluated
    base, audit = good & ~known.audit, good & known.audit
    if not _carries(known.shape, base) or not audit.any():
        return Round(np.flatnonzero(free), np.zeros(0, dtype=np.int64))
    try:
        found = tuple(estimate(known.shape, row, base, audit, tolerance) for row in log_losses)
    except np.linalg.LinAlgError:
        return Round(np.flatnonzero(free), np.zeros(0, dtype=np.int64))
    missing = max(e.missing(free) for e in found)
    if all(e.missing(free) + e.caution <= PROMISED for e in found) and not must.any():
        return found
    limit = math.log1p(tolerance)
    urgency = np.max([e.bound for e in found], axis=0) / limit
    wanted = np.any([e.beyond > 0 for e in found], axis=0) | must
    urgency[must] = np.inf
    return _next_round(known, urgency, wanted, must, missing, seed)


def _touching(known: Known, usable: NDArray[np.bool_]) -> Mask:
    """Cells with a cell among their nearest evaluated ones that has no logarithm."""
    bad = known.evaluated & ~usable.all(axis=0)
    touching = np.zeros(bad.shape, dtype=np.bool_)
    if not bad.any():
        return touching
    places = np.argwhere(np.ones(known.shape, dtype=np.bool_))
    count = int(known.evaluated.sum())
    _, which = cKDTree(places[known.evaluated]).query(places, k=min(_STENCIL, count))
    touching |= bad[known.evaluated][which.reshape(len(places), -1)].any(axis=1)
    return touching


def _carries(shape: tuple[int, int], base: Mask) -> bool:
    """Whether there are values enough, and not all on a line."""
    places = np.argwhere(base.reshape(shape))
    if len(places) < _FEWEST_VALUES:
        return False
    return bool(np.linalg.matrix_rank(places - places[0]) == 2)


def _next_round(
    known: Known, urgency: Floats, wanted: Mask, must: Mask, missing: float, seed: int
) -> Round:
    free, size = ~known.evaluated, known.evaluated.size
    done = int(known.evaluated.sum())
    growth = min(_MOST_GROWTH, max(_LEAST_GROWTH, 1.5 * missing))
    more = max(_FEWEST_MORE, round(growth * done), round(0.5 * must.sum()))
    if done + more >= _WHOLE * size:
        chosen = free & (wanted if wanted[free].any() else free)
    else:
        chosen = _spread_out(known, urgency, wanted, more)
    audit = known.audit & ~chosen
    cells = chosen & free
    left = free & ~cells
    short = FEWEST_AUDITED - int(audit.sum())
    if short > 0 and left.any():
        random = np.random.Generator(np.random.PCG64([seed, done]))
        drawn = stratified(left.reshape(known.shape), min(short, int(left.sum())), random)
        audit[drawn] = cells[drawn] = True
    return Round(np.flatnonzero(cells), np.flatnonzero(audit))


def _spread_out(known: Known, urgency: Floats, wanted: Mask, more: int) -> Mask:
    """The most urgent cells, `more` of them not evaluated yet, kept apart from each other.

    A held-out cell that is chosen costs nothing and is held out no longer; it is treated as any
    other cell, so that those that stay held out are like those that stay unevaluated.
    """
    shape = known.shape
    base = (known.evaluated & ~known.audit).reshape(shape)
    order = np.argsort(-urgency, kind="stable")
    order = order[(wanted & ~base.ravel())[order]]
    chosen = np.zeros(shape, dtype=np.bool_)
    count = 0
    # first cells whose neighbours are neither known nor chosen, then such as are not chosen
    for blocked in (base, np.zeros(shape, dtype=np.bool_), None):
        for cell in order.tolist():
            if count >= more:
                return chosen.ravel()
            iy, ix = divmod(cell, shape[1])
            around = np.s_[max(0, iy - 1) : iy + 2, max(0, ix - 1) : ix + 2]
            if chosen[iy, ix]:
                continue
            if blocked is not None and (blocked[around].any() or chosen[around].any()):
                continue
            chosen[iy, ix] = True
            count += not known.evaluated[cell]
        if count >= more / 2:
            break
    return chosen.ravel()
