"""Extremes of a grid and the losses at its anchors."""

from __future__ import annotations

import math

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


def center_loss(result: GridResult, dataset: DatasetGrid) -> Measure:
    """The loss of the trained network itself."""
    return _anchor(dataset, 0, "Loss at α = β = 0, the trained network itself.")


def origin_loss(result: GridResult, dataset: DatasetGrid) -> Measure:
    """The loss at α = 0."""
    return _anchor(dataset, 0, "Loss at α = 0, the origin checkpoint.")


def target_loss(result: GridResult, dataset: DatasetGrid) -> Measure:
    """The loss at α = 1."""
    return _anchor(dataset, 1, "Loss at α = 1, the target checkpoint.")


def center_accuracy(result: GridResult, dataset: DatasetGrid) -> Measure:
    """The accuracy of the trained network itself."""
    return _accuracy(dataset, 0, "Accuracy at α = β = 0, the trained network itself.")


def origin_accuracy(result: GridResult, dataset: DatasetGrid) -> Measure:
    """The accuracy at α = 0."""
    return _accuracy(dataset, 0, "Accuracy at α = 0, the origin checkpoint.")


def target_accuracy(result: GridResult, dataset: DatasetGrid) -> Measure:
    """The accuracy at α = 1."""
    return _accuracy(dataset, 1, "Accuracy at α = 1, the target checkpoint.")


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


def _anchor(dataset: DatasetGrid, index: int, definition: str) -> Measure:
    status = CellStatus(int(dataset.anchors.status[index]))
    if status is not CellStatus.OK:
        return undefined(definition, f"the loss there is {status.word}")
    return Measure(
        float(dataset.anchors.loss[index]),
        definition,
        stderr=float(dataset.anchors.stderr[index]),
    )


def _accuracy(dataset: DatasetGrid, index: int, definition: str) -> Measure:
    status = CellStatus(int(dataset.anchors.status[index]))
    values = dataset.anchors.accuracy
    if status is not CellStatus.OK or values is None:
        return undefined(definition, f"the loss there is {status.word}")
    share, samples = float(values[index]), dataset.effective_samples
    # of a binomial share, with two answers of either kind added (Agresti and Coull 1998), so that
    # no error is zero; an upper bound where a sample counts for several answers
    middle = (share * samples + 2) / (samples + 4)
    error = math.sqrt(middle * (1 - middle) / (samples + 4))
    return Measure(share, definition, stderr=error)
