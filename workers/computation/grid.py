"""Jobs whose cells are losses on a plane or along lines: what all kinds of them do alike.

Owns the batch, the first cell's time and memory, and the evaluator that tiles share. Where cells
lie, and what a kind adds to the answer or to a tile, its own half says.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import torch
from numpy.typing import NDArray

from service.domain import results
from service.domain.plan import MemoryPlan
from workers.computation.context import checkpoint
from workers.computation.directions import read_direction
from workers.computation.evaluators import Space, build_evaluator, cell
from workers.computation.first_layer import as_exact, worth_combining
from workers.computation.footprint import estimate, peak_bytes
from workers.computation.half import Decided, Half
from workers.computation.preparation import answered, made_directions, recalibration_of
from workers.computation.reduced_precision import compare
from workers.computation.tile import evaluate_tile
from workers.engine.batching import Batching, activation_bytes_per_sample, choose_batching
from workers.engine.direction import Direction
from workers.engine.errors import MemoryExceeded
from workers.engine.recalibration import Recalibration
from workers.engine.surface import CellEvaluator, first_weights
from workers.protocol import MessagePart, Prepare, Tile

#: A cell that takes longer than this is timed once only.
_TIMED_TWICE_SECONDS: Final = 2.0
#: What a child holds before it opens a job, about.
_PROCESS_BYTES: Final = 384 << 20


@dataclass(frozen=True)
class Ahead:
    """What a kind finds out before its directions are made.

    Attributes:
        directions: those that are made by that, by axis.
        part: of the answer.
        compared: (α, β) where a reduced precision is compared with float32, where the request names
            none.
    """

    directions: Mapping[str, Direction] = field(default_factory=dict)
    part: MessagePart | None = None
    compared: Sequence[tuple[float, float]] = ()


class GridHalf(Half):
    """Losses at the cells of a plane; kinds whose cells lie elsewhere say so.

    Attributes:
        kept: the evaluator, with where its cells lie, for the units that follow.
    """

    kept: tuple[Space, CellEvaluator] | None = None

    def ahead(self, request: Prepare) -> Ahead:
        """What is found out before directions are made; nothing usually."""
        return Ahead()

    def target(self, request: Prepare | Tile) -> str | None:
        """The checkpoint at α = 1, where cells lie between two; None elsewhere."""
        return None

    def apart(self, axes: Collection[str]) -> tuple[str, ...]:
        """Axes that are looked along one by one, in order; none where they span a plane."""
        return ()

    def attachments(self, request: Tile) -> Mapping[str, NDArray[Any]]:
        """Arrays that a tile has beside its cells' values."""
        return {}

    def prepare(self, request: Prepare) -> Decided:
        context = self.context
        ahead = self.ahead(request)
        directions = made_directions(context, request, ahead.directions)
        used = directions.used
        batching = self._batching(request)
        space = self._space(
            request,
            directions.digests,
            batch_size=batching.batch_size,
            channels_last=batching.channels_last,
            recalibration=recalibration_of(context),
        )
        space, evaluator, seconds = self._probe(space, used)
        combined = replace(space, combine_first=True)
        if worth_combining(context, combined, request.cells):
            other = evaluator.combining(
                first_weights(
                    context.setting(space.batch_size), context.origin, used["x"], used.get("y")
                )
            )
            if as_exact(context.precision, evaluator, other, combined):
                space, evaluator, seconds = combined, other, _timed(other, combined)
        measured = peak_bytes(context.device)
        activations = self._activation_bytes(space)
        memory = MemoryPlan(
            estimated_bytes=estimate(context, space, activations, context.base_bytes),
            measured_bytes=measured,
            halvings=_halvings(batching.batch_size, space.batch_size),
        )
        compared = compare(
            context, space, evaluator, request.compared or ahead.compared, activations
        )
        self.kept = (space, evaluator)
        answer = answered(
            context,
            request,
            directions,
            batch_size=space.batch_size,
            channels_last=space.channels_last,
            combine_first=space.combine_first,
            recalibration=space.recalibration,
            cell_seconds=seconds,
            memory=memory,
            precision_error=compared,
            countings=evaluator.countings,
            part=ahead.part,
        )
        return Decided(answer, directions.objects)

    def tile(self, request: Tile, on_progress: Callable[[int], None]) -> results.Tile:
        how = request.recalibration
        space = self._space(
            request,
            {axis: entry.digest for axis, entry in request.directions.items()},
            batch_size=request.batch_size,
            channels_last=request.channels_last,
            combine_first=request.combine_first,
            recalibration=None if how is None else Recalibration(how.samples, how.passes),
        )
        if self.kept is None or self.kept[0] != space:
            self.kept = None
            read = {
                axis: read_direction(self.context, Path(entry.path))
                for axis, entry in request.directions.items()
                if entry.path is not None
            }
            self.kept = (space, build_evaluator(self.context, space, read))
        evaluator = self.kept[1]
        tile = evaluate_tile(
            evaluator, space, request, on_progress, lambda named: checkpoint(self.context, named)
        )
        return replace(tile, attachments={**tile.attachments, **self.attachments(request)})

    def _space(
        self,
        request: Prepare | Tile,
        digests: Mapping[str, str],
        *,
        batch_size: int,
        channels_last: bool = True,
        combine_first: bool = False,
        recalibration: Recalibration | None = None,
    ) -> Space:
        return Space(
            target=self.target(request),
            directions=tuple(sorted(digests.items())),
            batch_size=batch_size,
            recalibration=recalibration,
            channels_last=channels_last,
            combine_first=combine_first,
            apart=self.apart(digests.keys()),
        )

    def _batching(self, request: Prepare) -> Batching:
        context = self.context
        return choose_batching(
            context.setting(1),
            context.origin,
            context.datasets,
            memory_budget_bytes=self._batch_budget(request),
        )

    def _batch_budget(self, request: Prepare) -> int | None:
        """What is left for a batch's activations of the memory that this process may hold."""
        allowed = request.memory_bytes
        if allowed is None or self.context.device.type == "cuda":
            return None
        space = self._space(request, dict.fromkeys(request.directions, ""), batch_size=1)
        # not what it held before the job, which is another number in every process
        base = min(_PROCESS_BYTES, allowed // 2)
        return max(allowed - estimate(self.context, space, 0.0, base), 1)

    def _activation_bytes(self, space: Space) -> float:
        context = self.context
        largest = max(context.datasets, key=lambda dataset: dataset.samples)
        setting = context.setting(1, channels_last=space.channels_last)
        return activation_bytes_per_sample(setting, context.origin, largest)

    def _probe(
        self, space: Space, directions: Mapping[str, Direction]
    ) -> tuple[Space, CellEvaluator, float]:
        """Evaluates the origin, halving the batch until it fits; returns the seconds it took."""
        while True:
            try:
                evaluator = build_evaluator(self.context, space, directions)
                seconds = _timed(evaluator, space)
                if seconds < _TIMED_TWICE_SECONDS:
                    # the first pass also warmed the libraries up
                    seconds = min(seconds, _timed(evaluator, space))
            except MemoryExceeded:
                if space.batch_size == 1:
                    raise
                space = replace(space, batch_size=space.batch_size // 2)
                if self.context.device.type == "cuda":
                    torch.cuda.empty_cache()
            else:
                return space, evaluator, seconds


def _halvings(chosen: int, used: int) -> int:
    """How often the batch was halved because the memory did not suffice."""
    return round(math.log2(chosen / used))


def _timed(evaluator: CellEvaluator, space: Space) -> float:
    begun = time.perf_counter()
    evaluator.evaluate([cell(space, 0.0, 0.0)])
    return time.perf_counter() - begun
