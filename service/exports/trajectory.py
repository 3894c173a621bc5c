"""The path of training on a plane, as files and the page show it. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

from service.domain.cells import CellStatus
from service.domain.questions.trajectory.result import Trajectory
from service.domain.results import GridResult


@dataclass(frozen=True)
class Step:
    """One checkpoint on the plane.

    Attributes:
        x, y: its projection, in units of the directions.
        loss: of the plane at that place, for the first data set; None where it is no number.
        label: shown beside it.
        run: which path it belongs to, from 0.
        dropped: whether its learning rate is below that of the one before.
    """

    x: float
    y: float
    loss: float | None
    label: str
    run: int = 0
    dropped: bool = False


def path_of(result: GridResult) -> tuple[Step, ...]:
    """The checkpoints in order; empty when the result is no trajectory's."""
    path = Trajectory.of(result)
    if path is None or result.y is None:
        return ()
    plane = path.plane(result.datasets[0].anchors)
    return tuple(
        Step(
            x=float(path.coordinates[row, 0]),
            y=float(path.coordinates[row, 1]),
            loss=float(plane.loss[row])
            if plane.status[row] == CellStatus.OK and math.isfinite(plane.loss[row])
            else None,
            label=_label(path, row),
            run=int(path.runs[row]),
            dropped=bool(path.learning_rate_drops[row]),
        )
        for row in range(len(path.runs))
    )


def _label(path: Trajectory, row: int) -> str:
    own = str(path.labels[row])
    if not own and math.isfinite(path.epochs[row]):
        own = f"epoch {path.epochs[row]:g}"
    if not own and math.isfinite(path.steps[row]):
        own = f"step {path.steps[row]:g}"
    if not own:
        own = f"checkpoint {int((path.runs[: row + 1] == path.runs[row]).sum())}"
    run = str(path.run_labels[path.runs[row]])
    return f"{run}, {own}" if run and len(path.run_labels) > 1 else own
