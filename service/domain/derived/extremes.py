"""Extremes of a grid."""

from __future__ import annotations

import numpy as np

from service.domain.cells import CellStatus
from service.domain.derived.measure import Measure, undefined
from service.domain.results import DatasetGrid, GridResult


def minimum(result: GridResult, dataset: DatasetGrid) -> Measure:
    """The smallest loss on the grid and where it lies."""
    definition = "Smallest loss over the grid's cells that are ok; `at` is the first such cell."
    return _extreme(result, dataset, lowest=True, definition=definition)


def maximum(result: GridResult, dataset: DatasetGrid) -> Measure:
    """The largest finite loss on the grid and where it lies."""
    definition = "Largest loss over the grid's cells that are ok; `at` is the first such cell."
    return _extreme(result, dataset, lowest=False, definition=definition)


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
