"""Tiles of a convexity map: every cell's loss, and both ends of its Hessian's spectrum.

Owns the names of a cell's further values. The loss is over all data sets, the curvature over the
first; a cell without a loss has no curvature, and keeps its status.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from service.domain.results import Tile
from workers import protocol
from workers.computation.context import JobContext
from workers.computation.tile import tile_of
from workers.engine.convexity import CellCurvature, ConvexityEvaluator
from workers.engine.direction import Direction
from workers.engine.placement import PlanePlacement
from workers.engine.surface import Cell, plane_evaluator
from workers.questions.curvature.computing.products import Question, Way, objective_of
from workers.questions.curvature.computing.spectrum import described


class MapCurvature:
    """λ_max and λ_min at the cells of one plane."""

    def __init__(
        self,
        context: JobContext,
        question: Question,
        way: Way,
        directions: Mapping[str, Direction],
    ) -> None:
        """`directions`: `x` and `y`.

        Raises:
            EngineError: the data or the directions do not fit the network.
        """
        x, y = directions["x"], directions["y"]
        setting = context.setting(way.batch_size)
        self._losses = plane_evaluator(
            setting, context.origin, x, y, context.datasets, context.buffers
        )
        objective = objective_of(context, question, way.batch_size)
        placement = PlanePlacement(
            setting.network,
            context.origin,
            x,
            y,
            context.buffers,
            setting.precision.place_dtype,
            setting.device,
        )
        self._ends = ConvexityEvaluator(
            objective,
            placement,
            tolerance=way.tolerance,
            max_products=way.max_products,
            seed=question.seed,
            form=way.form,
            retain=way.retain,
        )
        self._described = described(objective, question, way)

    def tile(self, request: protocol.Tile, on_progress: Callable[[int], None]) -> Tile:
        """The values of some cells.

        Args:
            on_progress: told how many cells are done, after each.
        """
        cells: list[Cell] = list(request.points)
        losses = self._losses.evaluate(cells)
        ends = self._ends.evaluate(cells, lambda index, _cell: on_progress(index + 1))
        attachments = {f"curvature.{name}": array for name, array in self._described.items()}
        made = tile_of(request, losses, attachments=attachments)
        first, *others = made.datasets
        return replace(made, datasets=(replace(first, extra=_extra(ends)), *others))


def _extra(ends: list[CellCurvature]) -> dict[str, np.ndarray[Any, np.dtype[np.float64]]]:
    columns = {
        "lambda_max": [e.largest for e in ends],
        "lambda_min": [e.smallest for e in ends],
        "ratio": [e.ratio for e in ends],
        "lambda_max_residual": [e.largest_residual for e in ends],
        "lambda_min_residual": [e.smallest_residual for e in ends],
        "converged": [float(e.converged) for e in ends],
        "products": [float(e.products) for e in ends],
    }
    return {name: np.array(values, dtype=np.float64) for name, values in columns.items()}
