"""Loss barriers along a line between two networks (Frankle et al. 2020; Entezari et al. 2022).

A barrier is of one function f along the line, its ends included: f(0) and f(1) are what the line
gives, all points having their running statistics in the same way. Ends of another treatment would
make the jump between the two treatments part of the barrier. Where the networks' own losses differ
from the line's ends they stand beside, with the rise above them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.domain.cells import CellStatus
from service.domain.derived.measure import Measure, undefined
from service.domain.networks import own
from service.domain.results import DatasetGrid, GridResult


def barrier(result: GridResult, dataset: DatasetGrid) -> Measure:
    """sup over α in [0, 1] of f(α) − ((1−α) f(0) + α f(1))."""
    definition = (
        "Largest f(α) − ((1−α)·f(0) + α·f(1)) over the evaluated α in [0, 1], both ends "
        f"included (named `linear`; Frankle et al. 2020, Entezari et al. 2022). {_ENDS}"
    )
    return _barrier(result, dataset, definition, lambda a, f0, f1: (1 - a) * f0 + a * f1)


def barrier_over_worse_end(result: GridResult, dataset: DatasetGrid) -> Measure:
    """sup over α in [0, 1] of f(α) − max(f(0), f(1))."""
    definition = (
        "Largest f(α) − max(f(0), f(1)) over the evaluated α in [0, 1], both ends included "
        f"(named `worse_end`). {_ENDS}"
    )
    return _barrier(result, dataset, definition, lambda a, f0, f1: np.full_like(a, max(f0, f1)))


_ENDS = (
    "f(0) and f(1), `ends`, are what the line gives there, with the running statistics of its "
    "points; `own_ends` are the networks' own losses where these differ, and `over_own_ends` is "
    "the same rise above them."
)

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
    rise = loss - level(alpha, f0, f1)
    top = int(np.argmax(rise))
    # the ends share samples with the top, so the root of the sum of squares is an upper bound
    error = math.sqrt(float(stderr[top]) ** 2 + float(np.max(dataset.anchors.stderr)) ** 2)
    details: dict[str, Any] = {"alpha": float(alpha[top]), "ends": [f0, f1]}
    networks = [own(result, dataset.name, role) for role in ("origin", "target")]
    if all(one is not None and one.status is CellStatus.OK for one in networks):
        known = [one.loss for one in networks if one is not None]
        details["own_ends"] = known
        details["over_own_ends"] = float(np.max(loss - level(alpha, *known)))
    return Measure(float(rise[top]), definition, stderr=error, details=details)
