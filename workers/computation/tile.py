"""`tile`: the values of some cells, as the bytes that the supervisor stores.

Owns the shape of a tile's result; every cell's values come from the engine as they are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from service.domain.cells import status_from_word
from service.domain.results import DatasetTile, Tile
from workers.computation.evaluators import Space, cell
from workers.engine.statistics import Measurement
from workers.engine.surface import CellEvaluator, CellResult


def evaluate_tile(
    evaluator: CellEvaluator,
    space: Space,
    request: Mapping[str, Any],
    on_progress: Callable[[int], None],
) -> Tile:
    """Carries out a `tile` request: `{indices: [cells], points: [[α, β], …]}`.

    Args:
        on_progress: told how many cells are done, after each.
    Raises:
        MemoryExceeded: at the plan's batch size.
    """
    cells = [cell(space, alpha, beta) for alpha, beta in request["points"]]

    def report(index: int, _result: CellResult) -> None:
        on_progress(index + 1)

    results = evaluator.evaluate(cells, report)
    columns = zip(*(result.datasets for result in results), strict=True)
    return Tile(
        index=np.asarray(request["indices"], dtype=np.int64),
        datasets=tuple(_dataset_tile(column) for column in columns),
    )


def _dataset_tile(column: Sequence[Measurement]) -> DatasetTile:
    has_accuracy = column[0].accuracy is not None
    return DatasetTile(
        loss=np.array([m.loss for m in column], dtype=np.float64),
        stderr=np.array([m.stderr for m in column], dtype=np.float64),
        accuracy=(
            np.array(
                [math.nan if m.accuracy is None else m.accuracy for m in column], dtype=np.float64
            )
            if has_accuracy
            else None
        ),
        status=np.array([status_from_word(m.status) for m in column], dtype=np.int8),
    )
