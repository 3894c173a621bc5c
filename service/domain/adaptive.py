"""Adaptive sampling as results tell of it: which cells were evaluated, and how wrong the others
may be.

Owns the names of these values in the arrays and the sentence that every figure carries. How cells
are chosen and filled in is the workers'.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from service.domain.results import DatasetGrid, GridResult

#: Values of every cell: 1 or 0; and |L̂/L − 1| that the cell states, 0 where it was evaluated.
EVALUATED: Final = "evaluated"
ESTIMATED_ERROR: Final = "estimated_error"

_TOLERANCE: Final = "sampling.tolerance"
_EXPECTED: Final = "sampling.expected_within_tolerance"


@dataclass(frozen=True)
class Sampling:
    """What holds of a whole adaptive surface.

    Attributes:
        tolerance: relative, on the loss.
        expected: for each data set, the share of cells that is expected to lie within it.
    """

    tolerance: float
    expected: tuple[float, ...]

    @classmethod
    def of(cls, result: GridResult) -> Sampling | None:
        """None for exact results."""
        tolerance = result.attachments.get(_TOLERANCE)
        expected = result.attachments.get(_EXPECTED)
        if tolerance is None or expected is None:
            return None
        return cls(float(tolerance), tuple(float(share) for share in expected))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """As attachments of a result."""
        return {
            _TOLERANCE: np.array(self.tolerance),
            _EXPECTED: np.array(self.expected, dtype=np.float64),
        }

    def sentence(self, result: GridResult, dataset: DatasetGrid) -> str:
        """How many cells were evaluated, and how far the others can be relied upon."""
        evaluated = dataset.extra[EVALUATED]
        known, cells = int(evaluated.sum()), evaluated.size
        if known == cells:
            return f"adaptive sampling: all {cells:,} cells had to be evaluated"
        share = self.expected[[d.name for d in result.datasets].index(dataset.name)]
        # not more than is known: 99.6% is said as 99%
        percent = int(100 * share + 1e-6)
        return (
            f"adaptive sampling: {known:,} of {cells:,} cells evaluated, the others interpolated; "
            f"{percent}% of cells expected within {100 * self.tolerance:g}% of the loss"
        )

    def derived(self, result: GridResult) -> dict[str, Any]:
        """What stands beside measures that were taken on interpolated cells too."""
        first = result.datasets[0]
        evaluated = first.extra[EVALUATED]
        return {
            "mode": "adaptive",
            "tolerance": self.tolerance,
            "evaluations": int(evaluated.sum()),
            "cells": int(evaluated.size),
            "note": f"Measured on a surface by {self.sentence(result, first)}.",
        }


def is_interpolated(dataset: DatasetGrid) -> NDArray[np.bool_] | None:
    """The cells that were not evaluated; None for exact results."""
    evaluated = dataset.extra.get(EVALUATED)
    return None if evaluated is None else evaluated == 0
