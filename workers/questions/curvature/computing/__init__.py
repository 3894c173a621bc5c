"""Curvature in a child: everything about a single point, or both ends over the cells of a map.

Owns the choice between the two, and the evaluator that tiles share.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Final, Protocol

from service.domain import results
from service.domain.plan import MemoryPlan
from workers.computation.context import JobContext
from workers.computation.directions import read_direction
from workers.computation.footprint import peak_bytes
from workers.computation.half import Decided, Half
from workers.computation.preparation import answered, made_directions, recalibration_of
from workers.engine.batching import Batching
from workers.engine.evaluation import count_targets
from workers.frames import ProtocolError
from workers.protocol import Prepare, Tile
from workers.questions.curvature.computing.convexity import MapCurvature
from workers.questions.curvature.computing.products import Question, Way, choose
from workers.questions.curvature.computing.spectrum import PointCurvature
from workers.questions.curvature.messages import Asked, CurvatureTile


class CurvatureEvaluator(Protocol):
    """A map's cells, or everything about a single point."""

    def tile(self, request: Tile, on_progress: Callable[[int], None]) -> results.Tile:
        """Carries out a `tile` request; tells of cells, or of products at a single point."""
        ...


class CurvatureHalf(Half):
    """Hessian-vector products are formed as `prepare` has decided, within its budget of memory.

    Directions span the map's plane, or are those that curvature is given along.
    """

    prepare_part: ClassVar = Asked
    tile_part: ClassVar = CurvatureTile

    _evaluator: CurvatureEvaluator | None = None

    def prepare(self, request: Prepare) -> Decided:
        context, part = self.context, request.of(Asked)
        directions = made_directions(context, request, {})
        choice = choose(context, Question.of(part.asked), part.memory_bytes)
        batching = Batching(choice.way.batch_size)
        answer = answered(
            context,
            request,
            directions,
            batch_size=batching.batch_size,
            channels_last=batching.channels_last,
            combine_first=False,
            recalibration=recalibration_of(context),
            cell_seconds=choice.step_seconds,
            memory=MemoryPlan(estimated_bytes=None, measured_bytes=peak_bytes(context.device)),
            precision_error=None,
            # no cell was evaluated
            countings=[
                count_targets(context.setting(1), context.origin, dataset)
                for dataset in context.datasets
            ],
            part=choice.to_message(),
        )
        return Decided(answer, directions.objects)

    def tile(self, request: Tile, on_progress: Callable[[int], None]) -> results.Tile:
        if self._evaluator is None:
            self._evaluator = build_curvature(self.context, request)
        return self._evaluator.tile(request, on_progress)


def build_curvature(context: JobContext, request: Tile) -> CurvatureEvaluator:
    """The evaluator for a tile.

    Raises:
        EngineError: inputs do not fit, or the memory does not suffice.
        Problem: a direction's file cannot be read.
        ProtocolError: a direction without a file.
    """
    part = request.of(CurvatureTile)
    question = Question.of(part.asked)
    way = Way.of(part.way, request.batch_size)
    directions = {}
    for axis, file in request.directions.items():
        if file.path is None:
            raise ProtocolError(f"direction {axis!r} without a file")
        directions[axis] = read_direction(context, Path(file.path))
    kind = MapCurvature if question.mapped else PointCurvature
    return kind(context, question, way, directions)


HALF: Final = CurvatureHalf
