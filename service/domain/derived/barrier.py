"""Loss barriers along a line between two networks (Frankle et al. 2020; Entezari et al. 2022)."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from service.domain.cells import CellStatus
from service.domain.derived.measure import Measure, undefined
from service.domain.results import DatasetGrid, GridResult


def barrier(result: GridResult, dataset: DatasetGrid) -> Measure:
    """sup over α in [0, 1] of f(α) − ((1−α) f(0) + α f(1))."""
    definition = (
        "Largest f(α) − ((1−α)·f(0) + α·f(1)) over the evaluated α in [0, 1], both ends "
        "included (named `linear`; Frankle et al. 2020, Entezari et al. 2022)."
    )
    return _barrier(result, dataset, definition, lambda a, f0, f1: (1 - a) * f0 + a * f1)


def barrier_over_worse_end(result: GridResult, dataset: DatasetGrid) -> Measure:
    """sup over α in [0, 1] of f(α) − max(f(0), f(1))."""
    definition = (
        "Largest f(α) − max(f(0), f(1)) over the evaluated α in [0, 1], both ends included "
        "(named `worse_end`)."
    )
    return _barrier(result, dataset, definition, lambda a, f0, f1: np.full_like(a, max(f0, f1)))


_Level = Callable[[NDArray[np.float64], float, float], NDArray[np.float64]]


def _barrier(result: GridResult, dataset: DatasetGrid, definition: str, level: _Level) -> Measure:
    inside = (result.x >= 0) & (result.x <= 1)
    alpha = np.concatenate([result.x[inside], [0.0, 1.0]])
    loss = np.concatenate([dataset.loss[inside], dataset.anchors.loss])
    stderr = np.concatenate([dataset.stderr[inside], dataset.anchors.stderr])
    status = np.concatenate([dataset.status[inside], dataset.anchors.status])
    bad = np.flatnonzero(status != CellStatus.OK)
    if bad.size:
        word = CellStatus(int(status[bad[0]])).word
        return undefined(definition, f"the loss at α = {alpha[bad[0]]:g} is {word}")
    f0, f1 = float(dataset.anchors.loss[0]), float(dataset.anchors.loss[1])
    rise: NDArray[np.float64] = loss - level(alpha, f0, f1)
    top = int(np.argmax(rise))
    # the ends share samples with the top, so the root of the sum of squares is an upper bound
    error = math.sqrt(float(stderr[top]) ** 2 + float(np.max(dataset.anchors.stderr)) ** 2)
    return Measure(float(rise[top]), definition, stderr=error, details={"alpha": float(alpha[top])})
