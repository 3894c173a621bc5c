"""Which values of a result a figure shows, and why a cell has none. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from service.domain.adaptive import is_interpolated
from service.domain.cells import CellStatus
from service.domain.results import DatasetGrid, DatasetTile, GridResult

#: Statuses of cells without a value, in the words of a legend.
WORDS: Final = {
    CellStatus.PENDING: "pending",
    CellStatus.POSINF: "+∞",
    CellStatus.NEGINF: "−∞",
    CellStatus.NAN: "NaN",
    CellStatus.INVALID_BUFFER: "invalid running variance",
    CellStatus.FAILED: "failed",
    CellStatus.OK: "undefined",
}


@dataclass(frozen=True)
class Shown:
    """One metric of one data set.

    Attributes:
        values: the grid's shape, NaN wherever the status is not ok.
        status: the grid's shape.
        anchors: values at the result's anchors, NaN likewise, shape (k,).
        interpolated: cells that were not evaluated; None for exact results.
    """

    dataset: str
    samples: int
    metric: str
    values: NDArray[np.float64]
    status: NDArray[np.int8]
    anchors: NDArray[np.float64]
    anchor_status: NDArray[np.int8]
    interpolated: NDArray[np.bool_] | None = None

    @property
    def missing(self) -> NDArray[np.bool_]:
        """Cells without a value."""
        return ~np.isfinite(self.values)

    def missing_by_status(self) -> dict[CellStatus, NDArray[np.bool_]]:
        """Masks of the cells without a value, by why."""
        missing = self.missing
        found = {code: missing & (self.status == code) for code in WORDS}
        return {code: mask for code, mask in found.items() if mask.any()}


def shown(grid: DatasetGrid, metric: str) -> Shown:
    """Raises KeyError when the data set has no such metric."""
    return Shown(
        dataset=grid.name,
        samples=grid.samples,
        metric=metric,
        values=_of_ok(_metric(grid, metric), grid.status),
        status=grid.status,
        anchors=_of_ok(_metric(grid.anchors, metric), grid.anchors.status),
        anchor_status=grid.anchors.status,
        interpolated=is_interpolated(grid),
    )


def chosen(result: GridResult, dataset: str | None) -> tuple[DatasetGrid, ...]:
    """All data sets, or the named one. Raises KeyError naming those there are."""
    return result.datasets if dataset is None else (result.dataset(dataset),)


def counts(items: Iterable[Shown]) -> dict[CellStatus, NDArray[np.bool_]]:
    """Cells where any of the items has no value, by the worst reason."""
    items = list(items)
    missing = np.any([item.missing for item in items], axis=0)
    worst = np.max([np.where(item.missing, item.status, 0) for item in items], axis=0)
    found = {code: missing & (worst == code) for code in WORDS}
    return {code: mask for code, mask in found.items() if mask.any()}


def _metric(grid: DatasetGrid | DatasetTile, metric: str) -> NDArray[np.float64]:
    if metric == "loss":
        return grid.loss
    if metric == "accuracy":
        if grid.accuracy is None:
            raise KeyError("there is no accuracy here")
        return grid.accuracy
    # an anchor need not have every value of a cell
    if isinstance(grid, DatasetTile) and metric not in grid.extra:
        return np.full(grid.loss.shape, np.nan)
    if metric not in grid.extra:
        raise KeyError(f"there is no {metric!r}; there are loss, accuracy and {list(grid.extra)}")
    return grid.extra[metric]


def _of_ok(values: NDArray[np.float64], status: NDArray[np.int8]) -> NDArray[np.float64]:
    kept: NDArray[np.float64] = np.where(
        (status == CellStatus.OK) & np.isfinite(values), values, np.nan
    )
    return kept
