"""Several lines from one point: their values one by one, and what they have in common.

The cells of such a job are laid out as a plane whose second axis counts the directions. A finished
result is the *mean* line, a curve like any other, with every direction's own values beside it as
the attachments `line.*`. Owns those names and the JSON member `line`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from service.domain.cells import CellStatus
from service.domain.results import DatasetGrid, GridResult

_PREFIX: Final = "line."

DEFINITIONS: Final = {
    "datasets": "Every direction's own values, [direction][α].",
    "mean": "A data set's `loss` and `accuracy` are means over the directions; where a direction's "
    "value is none, the mean is none either, and has the worst of their statuses. `stderr` is the "
    "mean of theirs: all directions see the same samples, so it does not fall with their number.",
    "loss_spread": "Standard deviation over the directions (n − 1 in the denominator), at each α.",
    "accuracy_spread": "Likewise, of the accuracy.",
}


@dataclass(frozen=True)
class Lines:
    """Values of r directions over d data sets at n points; NaN where there is no value.

    Attributes:
        loss, stderr, accuracy: shape (d, r, n); accuracy is all NaN for a data set without.
        status: shape (d, r, n), codes of `CellStatus`.
    """

    loss: NDArray[np.float64]
    stderr: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    status: NDArray[np.int8]

    @property
    def repeats(self) -> int:
        return int(self.loss.shape[1])

    @classmethod
    def of(cls, result: GridResult) -> Lines | None:
        """The result's lines, or None where it has none."""
        if _PREFIX + "loss" not in result.attachments:
            return None
        names = ("loss", "stderr", "accuracy", "status")
        return cls(**{name: result.attachments[_PREFIX + name] for name in names})

    def to_json(self, result: GridResult) -> dict[str, Any]:
        """`null` wherever a status is not `ok`."""
        words = np.array([code.word for code in CellStatus], dtype=object)
        return {
            "repeats": self.repeats,
            "datasets": {
                grid.name: {
                    "loss": {
                        "values": _nulled(self.loss[i], self.status[i]),
                        "stderr": _nulled(self.stderr[i], self.status[i]),
                    },
                    **(
                        {}
                        if grid.accuracy is None
                        else {"accuracy": {"values": _nulled(self.accuracy[i], self.status[i])}}
                    ),
                    "status": words[self.status[i]].tolist(),
                }
                for i, grid in enumerate(result.datasets)
            },
            "definitions": DEFINITIONS,
        }


def gathered(result: GridResult) -> GridResult:
    """The mean line with all lines beside it.

    Args:
        result: as `assemble` lays it out, (directions, points).
    """
    blank = np.full(result.shape, np.nan)
    every: dict[str, list[NDArray[Any]]] = {
        "loss": [grid.loss for grid in result.datasets],
        "stderr": [grid.stderr for grid in result.datasets],
        "accuracy": [blank if g.accuracy is None else g.accuracy for g in result.datasets],
        "status": [grid.status for grid in result.datasets],
    }
    return replace(
        result,
        y=None,
        datasets=tuple(_mean(grid) for grid in result.datasets),
        attachments={
            **result.attachments,
            **{_PREFIX + name: np.stack(arrays) for name, arrays in every.items()},
        },
    )


def _mean(grid: DatasetGrid) -> DatasetGrid:
    # infinities of both signs have no mean, and their status says what they were
    with np.errstate(invalid="ignore"):
        spread = {"loss_spread": np.std(grid.loss, axis=0, ddof=1)} if len(grid.loss) > 1 else {}
        if spread and grid.accuracy is not None:
            spread["accuracy_spread"] = np.std(grid.accuracy, axis=0, ddof=1)
        return replace(
            grid,
            loss=grid.loss.mean(axis=0),
            stderr=grid.stderr.mean(axis=0),
            accuracy=None if grid.accuracy is None else grid.accuracy.mean(axis=0),
            status=grid.status.max(axis=0),
            extra={**_means(grid.extra), **spread},
        )


def _means(extra: Mapping[str, NDArray[np.float64]]) -> dict[str, NDArray[np.float64]]:
    return {name: values.mean(axis=0) for name, values in extra.items()}


def _nulled(values: NDArray[np.float64], status: NDArray[np.int8]) -> Any:
    nulled = values.astype(object)
    nulled[(status != CellStatus.OK) | ~np.isfinite(values)] = None
    return nulled.tolist()
