"""The path of training on a plane, where a result has one. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from service.domain.cells import CellStatus
from service.domain.results import GridResult


@dataclass(frozen=True)
class Step:
    """One checkpoint on the plane.

    Attributes:
        x, y: its projection, in units of the directions.
        loss: of the plane at that place, for the first data set; None where it is no number.
        label: shown beside it.
        run: which path it belongs to, from 0.
    """

    x: float
    y: float
    loss: float | None
    label: str
    run: int = 0


def path_of(result: GridResult, labels: Sequence[str] | None = None) -> tuple[Step, ...]:
    """The checkpoints in order; empty when the result is no trajectory's.

    A trajectory has attachments named `trajectory.…` and its checkpoints' projections among the
    anchors: `trajectory.coordinates`, shape (n, 2), says which; otherwise they are all anchors.
    """
    if result.y is None or not any(n.startswith("trajectory.") for n in result.attachments):
        return ()
    points = result.attachments.get("trajectory.coordinates", result.anchors)
    runs = result.attachments.get("trajectory.runs")
    known = result.datasets[0].anchors
    losses = {
        (float(a), float(b)): float(loss)
        for (a, b), loss, status in zip(
            result.anchors.tolist(), known.loss, known.status, strict=True
        )
        if status == CellStatus.OK and math.isfinite(loss)
    }
    return tuple(
        Step(
            x=float(a),
            y=float(b),
            loss=losses.get((float(a), float(b))),
            label=labels[k] if labels is not None and k < len(labels) else f"checkpoint {k + 1}",
            run=0 if runs is None else int(runs[k]),
        )
        for k, (a, b) in enumerate(points.tolist())
    )
