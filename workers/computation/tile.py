"""`tile`: the values of some cells, as the bytes that the supervisor stores.

Owns the shape of a tile's result; every cell's values come from the engine as they are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.domain.cells import status_from_word
from service.domain.results import DatasetTile, Tile
from workers import protocol
from workers.computation.evaluators import Space, cell
from workers.engine.network import Point
from workers.engine.statistics import Measurement
from workers.engine.surface import CellEvaluator, CellResult


def evaluate_tile(
    evaluator: CellEvaluator,
    space: Space,
    request: protocol.Tile,
    on_progress: Callable[[int], None],
    read_checkpoint: Callable[[str], Point],
) -> Tile:
    """Carries out a `tile` request.

    Args:
        on_progress: told how many cells are done, after each.
        read_checkpoint: gives the weights and buffers of one of the request's `checkpoints`.
    Raises:
        MemoryExceeded: at the plan's batch size.
    """
    files = request.checkpoints or [None] * len(request.points)
    inside = [position for position, file in enumerate(files) if file is None]
    cells = [cell(space, *request.points[position]) for position in inside]

    def report(done: int, _result: CellResult) -> None:
        on_progress(done + 1)

    results = evaluator.evaluate(cells, report)
    measured = {position: result.datasets for position, result in zip(inside, results, strict=True)}
    for position, file in enumerate(files):
        if file is not None:
            measured[position] = evaluator.evaluate_point(read_checkpoint(file))
            on_progress(len(measured))
    columns = zip(*(measured[position] for position in range(len(files))), strict=True)
    return Tile(
        index=np.asarray(request.indices, dtype=np.int64),
        datasets=tuple(_dataset_tile(column) for column in columns),
    )


def tile_of(
    request: protocol.Tile,
    results: Sequence[CellResult],
    *,
    attachments: Mapping[str, NDArray[Any]],
) -> Tile:
    """The tile of a `tile` request from its cells' results, in order."""
    columns = zip(*(result.datasets for result in results), strict=True)
    return Tile(
        index=np.asarray(request.indices, dtype=np.int64),
        datasets=tuple(_dataset_tile(column) for column in columns),
        attachments=attachments,
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
