"""Measures of the Hessian's spectrum: at a checkpoint, and over the cells of a convexity map.

Curvature is over a result's first data set alone.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from service.domain.cells import CellStatus
from service.domain.derived.measure import Measure, undefined
from service.domain.derived.rule import Reads, Rule
from service.domain.questions.curvature.result import array, has_map, number, one_parameter
from service.domain.results import DatasetGrid, GridResult

_LOWER_BOUND = (
    "`cells_not_converged` of these had not converged: their λ_min lies further down, if anywhere, "
    "and their λ_max further up."
)
#: Beyond this |λ_min / λ_max| negative curvature counts as strong.
STRONG: float = 0.1


def lambda_max(result: GridResult, dataset: DatasetGrid) -> Measure:
    """The most positive eigenvalue at the trained network."""
    return _end(result, dataset, "largest", "lambda_max", "Most positive")


def lambda_min(result: GridResult, dataset: DatasetGrid) -> Measure:
    """The most negative eigenvalue at the trained network."""
    return _end(result, dataset, "smallest", "lambda_min", "Most negative")


def convexity_ratio(result: GridResult, dataset: DatasetGrid) -> Measure:
    """|λ_min / λ_max| at the trained network."""
    definition = (
        "|λ_min / λ_max| of the Hessian of the mean loss at the trained network, of either sign: "
        "where λ_min is not negative, the loss is convex there whatever the ratio."
    )
    largest, smallest = lambda_max(result, dataset).value, lambda_min(result, dataset).value
    if largest is None or smallest is None:
        return undefined(definition, "λ_max and λ_min are not both known there")
    if largest == 0:
        return undefined(definition, "λ_max is zero")
    return Measure(abs(smallest / largest), definition)


def trace(result: GridResult, _dataset: DatasetGrid) -> Measure:
    """The Hessian's trace."""
    definition = (
        "Estimate of the trace of the Hessian of the mean loss at the checkpoint; `interval` is "
        "of at least 95 %."
    )
    value, interval = number(result, "trace.value"), array(result, "trace.interval")
    if value is None or interval is None:
        return undefined(definition, "no trace was asked for")
    return Measure(
        value,
        definition,
        stderr=number(result, "trace.standard_error"),
        details={"interval": interval.tolist()},
    )


def negative_share(result: GridResult, dataset: DatasetGrid) -> Measure:
    """How much of a map has negative curvature that its eigenvalues' accuracy resolves."""
    tolerance = number(result, "tolerance") or 0.0
    definition = (
        "Share of the map's cells with known curvature where λ_min < −τ·max(|λ_min|, |λ_max|), τ "
        f"being the tolerance that eigenvalues were sought to ({tolerance:g}). {_LOWER_BOUND}"
    )
    known, largest, smallest = _ends(dataset)
    if not known.any():
        return undefined(definition, "no cell has a known curvature")
    scale = np.maximum(np.abs(largest), np.abs(smallest))
    negative = smallest[known] < -tolerance * scale[known]
    return Measure(float(negative.mean()), definition, details=_counted(dataset, known))


def strongly_negative_share(result: GridResult, dataset: DatasetGrid) -> Measure:
    """How much of a map is far from convex."""
    definition = (
        f"Share of the map's cells with known curvature where λ_min < −{STRONG:g}·|λ_max|. "
        f"{_LOWER_BOUND}"
    )
    known, largest, smallest = _ends(dataset)
    if not known.any():
        return undefined(definition, "no cell has a known curvature")
    strong = smallest[known] < -STRONG * np.abs(largest[known])
    return Measure(float(strong.mean()), definition, details=_counted(dataset, known))


def _end(result: GridResult, dataset: DatasetGrid, end: str, name: str, words: str) -> Measure:
    definition = f"{words} eigenvalue of the Hessian of the mean loss at the trained network."
    definition += one_parameter(number(result, "parameters"))
    if has_map(result):
        value = _at_centre(dataset, name)
        if value is None:
            return undefined(definition, "the curvature at the centre is not known")
        residual = _at_centre(dataset, f"{name}_residual")
        converged = bool(_at_centre(dataset, "converged") or 0.0)
    else:
        values, residuals = array(result, end), array(result, f"{end}_residual")
        flags = array(result, f"{end}_converged")
        if values is None or residuals is None or flags is None or not len(values):
            return undefined(definition, "it was not asked for")
        value, residual = float(values[0]), float(residuals[0])
        converged = bool(flags[0])
    return Measure(value, definition, details={"residual": residual, "converged": converged})


def _at_centre(dataset: DatasetGrid, name: str) -> float | None:
    values = dataset.anchors.extra.get(name)
    if values is None or not len(values) or not np.isfinite(values[0]):
        return None
    return float(values[0])


def _counted(dataset: DatasetGrid, known: NDArray[np.bool_]) -> dict[str, int]:
    """How many cells a share is of, and how many of them are in doubt."""
    flags = dataset.extra.get("converged", np.ones(known.shape))
    return {
        "cells_known": int(known.sum()),
        "cells_not_converged": int((known & (flags != 1)).sum()),
    }


def _ends(
    dataset: DatasetGrid,
) -> tuple[NDArray[np.bool_], NDArray[np.float64], NDArray[np.float64]]:
    """Where both ends are known, λ_max and λ_min."""
    missing = np.full(dataset.loss.shape, np.nan)
    largest = dataset.extra.get("lambda_max", missing)
    smallest = dataset.extra.get("lambda_min", missing)
    known = (dataset.status == CellStatus.OK) & np.isfinite(largest) & np.isfinite(smallest)
    return known, largest, smallest


_ENDS: Final = (
    Rule("lambda_max", "Largest eigenvalue", Reads.ANCHORS, lambda_max),
    Rule("lambda_min", "Smallest eigenvalue", Reads.ANCHORS, lambda_min),
    Rule("convexity_ratio", "Convexity ratio", Reads.ANCHORS, convexity_ratio),
)
#: Of the Hessian over the first data set, at a point and over a map.
SPECTRUM: Final = (*_ENDS, Rule("trace", "Trace of the Hessian", Reads.ANCHORS, trace))
MAP: Final = (
    *_ENDS,
    Rule("negative_share", "Negative share", Reads.SHAPE, negative_share),
    Rule(
        "strongly_negative_share",
        "Strongly negative share",
        Reads.SHAPE,
        strongly_negative_share,
    ),
)
