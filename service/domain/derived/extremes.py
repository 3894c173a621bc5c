"""Extremes of a grid."""

from __future__ import annotations

import numpy as np

from service.domain.cells import CellStatus
from service.domain.derived.measure import Measure, undefined
from service.domain.results import DatasetGrid, GridResult


def minimum(result: GridResult, dataset: DatasetGrid) -> Measure:
    """The smallest loss on the grid and where it lies."""
    return _extreme(
        result, dataset, lowest=True, definition="Smallest loss over the cells that are ok."
    )


def maximum(result: GridResult, dataset: DatasetGrid) -> Measure:
    """The largest finite loss on the grid and where it lies."""
    return _extreme(
        result, dataset, lowest=False, definition="Largest loss over the cells that are ok."
    )


def local_minima(result: GridResult, dataset: DatasetGrid) -> Measure:
    """How many interior cells lie strictly below all their neighbours."""
    definition = (
        "Number of interior cells whose loss is strictly below that of every neighbour "
        "(two on a curve, eight on a surface), all of them ok."
    )
    loss = np.where(dataset.status == CellStatus.OK, dataset.loss, np.nan)
    if min(loss.shape) < 3:
        return undefined(definition, "needs at least three points along every axis")
    interior = tuple(slice(1, -1) for _ in loss.shape)
    lowest = np.ones(loss[interior].shape, dtype=bool)
    for shift in np.ndindex(*(3,) * loss.ndim):
        if all(s == 1 for s in shift):
            continue
        window = tuple(slice(s, n - 2 + s) for s, n in zip(shift, loss.shape, strict=True))
        # a comparison with NaN is false, so a cell beside a hole is never counted
        lowest &= loss[interior] < loss[window]
    return Measure(float(lowest.sum()), definition)


def _extreme(result: GridResult, dataset: DatasetGrid, *, lowest: bool, definition: str) -> Measure:
    ok = dataset.status == CellStatus.OK
    if not ok.any():
        return undefined(definition, "no cell has the status ok")
    shown = np.where(ok, dataset.loss, np.inf if lowest else -np.inf)
    flat = int(np.argmin(shown) if lowest else np.argmax(shown))
    where = np.unravel_index(flat, shown.shape)
    at = [float(result.x[where[-1]])]
    if result.y is not None:
        at.append(float(result.y[where[0]]))
    return Measure(
        float(shown.flat[flat]),
        definition,
        stderr=float(dataset.stderr.flat[flat]),
        details={"at": at},
    )
