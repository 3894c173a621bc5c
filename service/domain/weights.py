"""Histograms of networks' weights beside a curve (Li et al. 2018, figure 2).

Owns the attachments `weights.*` and the JSON member `weights`. The counting is the worker's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from service.domain.results import GridResult

_PREFIX: Final = "weights."

DEFINITION: Final = (
    "How many weights lie in each of equal bins from −r to r, r the largest absolute value at any "
    "of the ends, in float64. Weights are the numbers of every parameter of more than one "
    "dimension: no biases, no gains of normalisation layers. The first end is the origin, the "
    "second a line's target."
)


@dataclass(frozen=True)
class WeightHistograms:
    """Shapes: e ends (the origin, then a line's target), b bins.

    Attributes:
        edges: shape (b + 1,), the same for all ends.
        counts: shape (e, b).
        norms: shape (e,), Euclidean length of each end's weights.
    """

    edges: NDArray[np.float64]
    counts: NDArray[np.int64]
    norms: NDArray[np.float64]

    @classmethod
    def of(cls, result: GridResult) -> WeightHistograms | None:
        """The result's histograms, or None where it has none."""
        if _PREFIX + "counts" not in result.attachments:
            return None
        return cls(
            **{name: result.attachments[_PREFIX + name] for name in ("edges", "counts", "norms")}
        )

    def arrays(self) -> dict[str, NDArray[Any]]:
        """As attachments."""
        return {_PREFIX + name: array for name, array in vars(self).items()}

    def to_json(self) -> dict[str, Any]:
        ends = ("origin", "target")
        return {
            "edges": self.edges.tolist(),
            "counts": dict(zip(ends, self.counts.tolist(), strict=False)),
            "norms": dict(zip(ends, self.norms.tolist(), strict=False)),
            "definition": DEFINITION,
        }
