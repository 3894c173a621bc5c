"""Grids with known values, for tests of what is read off them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from service.domain.cells import CellStatus
from service.domain.results import DatasetGrid, DatasetTile, GridResult

Field = Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]


def surface_of(
    field: Field, x: NDArray[np.float64], y: NDArray[np.float64], stderr: float = 0.0
) -> GridResult:
    """The exact surface of an analytic function, every cell ok where it is finite."""
    return _grid(field, x, y, [(0.0, 0.0)], stderr)


def curve_of(
    field: Callable[[NDArray[np.float64]], NDArray[np.float64]], x: NDArray[np.float64]
) -> GridResult:
    """The exact curve of an analytic function with its two ends as anchors."""
    return _grid(lambda a, _: field(a), x, None, [(0.0, 0.0), (1.0, 0.0)], 0.0)


def _grid(
    field: Field,
    x: NDArray[np.float64],
    y: NDArray[np.float64] | None,
    anchors: list[tuple[float, float]],
    stderr: float,
) -> GridResult:
    if y is None:
        loss = np.asarray(field(x, np.zeros_like(x)), dtype=np.float64)
    else:
        loss = np.asarray(field(*np.meshgrid(x, y)), dtype=np.float64)
    at = np.array(anchors)
    anchor_loss = np.asarray(field(at[:, 0], at[:, 1]), dtype=np.float64)
    return GridResult(
        x=x,
        y=y,
        anchors=at,
        datasets=(
            DatasetGrid(
                name="train",
                loss=loss,
                stderr=np.full_like(loss, stderr),
                accuracy=None,
                status=_status(loss),
                samples=100,
                anchors=DatasetTile(
                    loss=anchor_loss,
                    stderr=np.full_like(anchor_loss, stderr),
                    accuracy=None,
                    status=_status(anchor_loss),
                ),
            ),
        ),
    )


def _status(loss: NDArray[np.float64]) -> NDArray[np.int8]:
    status = np.zeros(loss.shape, dtype=np.int8)
    status[np.isposinf(loss)] = CellStatus.POSINF
    status[np.isneginf(loss)] = CellStatus.NEGINF
    status[np.isnan(loss)] = CellStatus.NAN
    return status
