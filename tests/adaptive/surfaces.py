"""Surfaces to sample: exact ones of trained networks, kept as files, and made-up ones.

Runs the rounds of adaptive sampling on a surface that is known everywhere, as the workers do.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from service.domain.cells import CellStatus
from service.domain.results import DatasetGrid, DatasetTile, GridResult
from workers.adaptive.decision import Known, decide
from workers.adaptive.design import Round, first_round
from workers.adaptive.filling import Filled, fill

FOLDER: Final = Path(__file__).parents[1] / "data" / "adaptive"
AUDIT: Final = 0.05

Floats = NDArray[np.float64]


def exact(name: str) -> tuple[Floats, Floats]:
    """Loss and accuracy of every cell, shape (ny, nx)."""
    with np.load(FOLDER / f"{name}.npz") as arrays:
        return arrays["loss"], arrays["accuracy"]


@dataclass(frozen=True)
class Run:
    """An adaptive run beside the truth; masks and errors have the grid's shape.

    Attributes:
        error: |L̂/L − 1| of the first data set; 0 where evaluated.
        stated: what the cells say of it.
    """

    filled: Filled
    evaluated: NDArray[np.bool_]
    error: Floats
    stated: Floats
    rounds: int

    @property
    def evaluations(self) -> int:
        return self.filled.evaluations

    @property
    def saved(self) -> float:
        return self.filled.cells / self.filled.evaluations

    def within(self, tolerance: float) -> float:
        """Share of all cells within the tolerance."""
        return float((self.error <= tolerance).mean())

    @property
    def within_stated(self) -> float:
        """Share of all cells within their own stated error."""
        return float((self.error <= self.stated).mean())


def sample(losses: Floats, *, tolerance: float, seed: int, accuracy: Floats | None = None) -> Run:
    """Adaptive sampling of surfaces known everywhere.

    Args:
        losses: shape (ny, nx), or (datasets, ny, nx).
    """
    truth = losses[None] if losses.ndim == 2 else losses
    shape = (truth.shape[1], truth.shape[2])
    size = shape[0] * shape[1]
    evaluated, audit = np.zeros(size, dtype=np.bool_), np.zeros(size, dtype=np.bool_)
    chosen = first_round(shape, audit=AUDIT, seed=seed, always=np.array([size // 2]))
    rounds = 0
    while True:
        rounds += 1
        assert not evaluated[chosen.cells].any(), "a cell was evaluated twice"
        evaluated[chosen.cells] = True
        audit[:] = False
        audit[chosen.audit] = True
        known = Known(
            shape=shape,
            losses=np.where(evaluated, truth.reshape(len(truth), size), np.nan),
            usable=np.isfinite(truth.reshape(len(truth), size)) & evaluated,
            evaluated=evaluated.copy(),
            audit=audit.copy(),
        )
        decided = decide(known, tolerance=tolerance, seed=seed)
        if not isinstance(decided, Round):
            break
        assert len(decided.cells), "a round of nothing would never end"
        chosen = decided
    here = evaluated.reshape(shape)
    result = _result(truth, here, accuracy)
    filled = fill(result, evaluated, decided, tolerance=tolerance)
    grid = filled.result.datasets[0]
    with np.errstate(divide="ignore", invalid="ignore"):
        error = np.where(here, 0.0, np.abs(grid.loss / truth[0] - 1))
    return Run(filled, here, error, grid.extra["estimated_error"], rounds)


def _result(truth: Floats, here: NDArray[np.bool_], accuracy: Floats | None) -> GridResult:
    """What the workers have assembled by then."""
    grids = []
    for i, loss in enumerate(truth):
        status = np.full(loss.shape, CellStatus.PENDING, dtype=np.int8)
        status[here] = np.where(np.isfinite(loss), CellStatus.OK, CellStatus.NAN)[here]
        grids.append(
            DatasetGrid(
                name=f"data {i}",
                loss=np.where(here, loss, np.nan),
                stderr=np.where(here, 0.01, np.nan),
                accuracy=None if accuracy is None else np.where(here, accuracy, np.nan),
                status=status,
                samples=100,
                anchors=DatasetTile(
                    loss=np.ones(1),
                    stderr=np.ones(1),
                    accuracy=None if accuracy is None else np.ones(1),
                    status=np.zeros(1, dtype=np.int8),
                ),
            )
        )
    ny, nx = here.shape
    return GridResult(
        x=np.linspace(-1, 1, nx),
        y=np.linspace(-1, 1, ny),
        anchors=np.zeros((1, 2)),
        datasets=tuple(grids),
    )
