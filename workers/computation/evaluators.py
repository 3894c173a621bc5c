"""The evaluator of a job's cells: built once in a child and reused by the units that follow.

Owns the choice between a line through two checkpoints, lines along directions and a plane.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from workers.computation.context import JobContext
from workers.engine.direction import Direction
from workers.engine.evaluation import Setting
from workers.engine.placement import BufferPolicy
from workers.engine.recalibration import Recalibration, Recalibrator
from workers.engine.surface import (
    Cell,
    CellEvaluator,
    lines_evaluator,
    plane_evaluator,
    segment_evaluator,
)


@dataclass(frozen=True)
class Space:
    """Where cells lie: on the segment to `target`, in the plane of `directions` x and y, or along
    each of `apart` by itself.

    Attributes:
        target: a checkpoint's id, for f(α) = L((1−α)θ + αθ′).
        directions: digests of the materialised directions by axis, for f(α, β).
        recalibration: how running statistics are recomputed, where they are.
        channels_last: memory format of images.
        combine_first: whether the first linear map's products are computed once for all cells.
        apart: axes of directions that are looked along one by one, in the order of β; empty for a
            segment or a plane.
    """

    target: str | None
    directions: tuple[tuple[str, str], ...]
    batch_size: int
    recalibration: Recalibration | None = None
    channels_last: bool = True
    combine_first: bool = False
    apart: tuple[str, ...] = ()


def build_evaluator(
    context: JobContext, space: Space, directions: Mapping[str, Direction]
) -> CellEvaluator:
    """Raises EngineError when inputs do not fit, MemoryExceeded when memory does not suffice."""
    setting = context.setting(space.batch_size, channels_last=space.channels_last)
    recalibrator = recalibrator_of(context, space, setting)
    if space.target is not None:
        return segment_evaluator(
            setting,
            context.origin,
            context.points[space.target],
            context.datasets,
            context.buffers,
            recalibrator,
        )
    if space.apart:
        return lines_evaluator(
            setting,
            context.origin,
            [directions[axis] for axis in space.apart],
            context.datasets,
            context.buffers,
            recalibrator,
        )
    return plane_evaluator(
        setting,
        context.origin,
        directions["x"],
        directions.get("y"),
        context.datasets,
        context.buffers,
        recalibrator,
        combine_first=space.combine_first,
    )


def recalibrator_of(context: JobContext, space: Space, setting: Setting) -> Recalibrator | None:
    """What recomputes running statistics at every cell, where the job asks for that."""
    if context.buffers is not BufferPolicy.RECALIBRATE or space.recalibration is None:
        return None
    return Recalibrator(setting, context.origin, context.datasets[0], space.recalibration)


def cell(space: Space, alpha: float, beta: float) -> Cell:
    """The engine's coordinates: β is None where there is one axis only."""
    flat = space.target is not None or len(space.directions) < 2
    return (alpha, None if flat else beta)
