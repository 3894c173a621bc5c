"""The evaluator of a job's cells: built once in a child and reused by the units that follow.

Owns the choice between a line through two checkpoints and a plane spanned by directions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from workers.computation.context import JobContext
from workers.engine.direction import Direction
from workers.engine.surface import Cell, CellEvaluator, plane_evaluator, segment_evaluator


@dataclass(frozen=True)
class Space:
    """Where cells lie: on the segment to `target`, or in the plane of `directions`.

    Attributes:
        target: a checkpoint's id, for f(α) = L((1−α)θ + αθ′).
        directions: digests of the materialised directions by axis, for f(α, β).
    """

    target: str | None
    directions: tuple[tuple[str, str], ...]
    batch_size: int


def build_evaluator(
    context: JobContext, space: Space, directions: Mapping[str, Direction]
) -> CellEvaluator:
    """Raises EngineError when inputs do not fit, MemoryExceeded when memory does not suffice."""
    setting = context.setting(space.batch_size)
    if space.target is not None:
        return segment_evaluator(
            setting,
            context.origin,
            context.points[space.target],
            context.datasets,
            context.buffers,
        )
    return plane_evaluator(
        setting,
        context.origin,
        directions["x"],
        directions.get("y"),
        context.datasets,
        context.buffers,
    )


def cell(space: Space, alpha: float, beta: float) -> Cell:
    """The engine's coordinates: β is None where there is one axis only."""
    flat = space.target is not None or len(space.directions) < 2
    return (alpha, None if flat else beta)
