"""Cells of a surface or a line, evaluated on several data sets.

Owns the static memory that every cell reuses and the order of work within a cell. A cell's values
depend on the cell alone: not on which others are evaluated, in what order, or in which process.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from workers.engine.datasets import Dataset
from workers.engine.direction import Direction
from workers.engine.evaluation import DatasetEvaluation, Setting, cast_point, prepare_datasets
from workers.engine.memory import memory_guard
from workers.engine.network import Point
from workers.engine.placement import (
    BufferPolicy,
    Placement,
    PlanePlacement,
    RaysPlacement,
    SegmentPlacement,
)
from workers.engine.precision import arithmetic, require_available
from workers.engine.recalibration import Recalibrator
from workers.engine.statistics import Measurement, invalid_buffer, measurement

#: (α, β); β is None on a line.
Cell = tuple[float, float | None]


@dataclass(frozen=True)
class CellResult:
    """A cell's measurements, one per data set in the order given."""

    alpha: float
    beta: float | None
    datasets: tuple[Measurement, ...]


class CellEvaluator:
    """Evaluates cells of one plane or line. Not for use by several threads at once."""

    def __init__(
        self,
        setting: Setting,
        placement: Placement,
        datasets: Sequence[DatasetEvaluation],
        recalibrator: Recalibrator | None = None,
    ) -> None:
        """`recalibrator`, where there is one, replaces every cell's running statistics."""
        self._recalibrator = recalibrator
        self._setting = setting
        self._placement = placement
        self._datasets = tuple(datasets)
        device, precision = setting.device, setting.precision
        layout, buffer_layout = placement.parameter_layout, placement.buffer_layout
        self._theta = layout.zeros(precision.place_dtype, device)
        self._state = buffer_layout.zeros(precision.place_dtype, device)
        if precision.compute_dtype is precision.place_dtype:
            self._used_theta, self._used_state = self._theta, self._state
        else:
            self._used_theta = layout.zeros(precision.compute_dtype, device)
            self._used_state = buffer_layout.zeros(precision.compute_dtype, device)
        self._parameters = layout.views(self._used_theta)
        moving = buffer_layout.views(self._used_state)
        self._buffers = {
            name: moving[name] if name in moving else placement.fixed_buffers[name]
            for name in setting.network.buffers
        }

    def evaluate(
        self,
        cells: Sequence[Cell],
        on_cell: Callable[[int, CellResult], None] | None = None,
    ) -> list[CellResult]:
        """Every cell's measurements, in the order given.

        With `on_cell` each result is handed over, with its index, as soon as it is known; that
        waits for the device once per cell. Without it the device is waited for once in all.

        Raises:
            MemoryExceeded: naming the batch size that did not fit.
        """
        rows = torch.zeros(
            (len(cells), len(self._datasets), 3), dtype=torch.float64, device=self._setting.device
        )
        evaluated: list[bool] = []
        results: list[CellResult] = []
        with (
            memory_guard(self._setting.batch_size),
            torch.inference_mode(),
            arithmetic(self._setting.precision),
        ):
            for index, (alpha, beta) in enumerate(cells):
                evaluated.append(self._evaluate_one(alpha, beta, rows[index]))
                if on_cell is not None:
                    result = self._result(cells[index], rows[index], evaluated[index])
                    results.append(result)
                    on_cell(index, result)
            if on_cell is None:
                host = rows.cpu()
                results = [
                    self._result(cell, host[index], evaluated[index])
                    for index, cell in enumerate(cells)
                ]
        return results

    def evaluate_point(self, point: Point) -> tuple[Measurement, ...]:
        """The measurements at a point beside the plane or line, with the point's own buffers.

        The same bits as those of a cell whose placement writes this very point.

        Raises:
            MemoryExceeded: naming the batch size that did not fit.
        """
        device, precision = self._setting.device, self._setting.precision
        rows = torch.zeros((len(self._datasets), 3), dtype=torch.float64, device=device)
        with (
            memory_guard(self._setting.batch_size),
            torch.inference_mode(),
            arithmetic(precision),
        ):
            # rounded as a placement rounds: to the type of weights first
            for name, view in self._placement.parameter_layout.views(self._theta).items():
                view.copy_(point.parameters[name])
            if self._used_theta is not self._theta:
                self._used_theta.copy_(self._theta)
            placed = cast_point(Point({}, point.buffers), precision.place_dtype, device)
            buffers = cast_point(placed, precision.compute_dtype, device).buffers
            infer = self._setting.network.at(self._parameters, buffers)
            for dataset, row in zip(self._datasets, rows, strict=True):
                dataset.measure(infer, row)
        return self._result((0.0, None), rows, True).datasets

    def _evaluate_one(self, alpha: float, beta: float | None, rows: Tensor) -> bool:
        across = 0.0 if beta is None else beta
        if not self._placement.is_valid(alpha, across):
            return False
        self._placement.write(alpha, across, self._theta, self._state)
        if self._used_theta is not self._theta:
            self._used_theta.copy_(self._theta)
            self._used_state.copy_(self._state)
        buffers: Mapping[str, Tensor] = self._buffers
        if self._recalibrator is not None:
            buffers = self._recalibrator(self._parameters, buffers)
        infer = self._setting.network.at(self._parameters, buffers)
        for dataset, row in zip(self._datasets, rows, strict=True):
            dataset.measure(infer, row)
        return True

    def _result(self, cell: Cell, rows: Tensor, evaluated: bool) -> CellResult:
        if not evaluated:
            measured = tuple(invalid_buffer(d.samples, d.has_accuracy) for d in self._datasets)
        else:
            measured = tuple(
                measurement(row, d.samples, d.has_accuracy)
                for row, d in zip(rows.tolist(), self._datasets, strict=True)
            )
        return CellResult(cell[0], cell[1], measured)


def plane_evaluator(
    setting: Setting,
    origin: Point,
    x: Direction,
    y: Direction | None,
    datasets: Sequence[Dataset],
    buffers: BufferPolicy = BufferPolicy.FROZEN,
    recalibrator: Recalibrator | None = None,
) -> CellEvaluator:
    """f(α, β) = L(θ + αδ + βη), or f(α) = L(θ + αδ) without `y`.

    Raises:
        PrecisionUnavailable, TargetsInvalid, MemoryExceeded: see `prepare_datasets`.
    """
    require_available(setting.precision, setting.device)
    with memory_guard(setting.batch_size):
        placement = PlanePlacement(
            setting.network,
            origin,
            x,
            y,
            buffers,
            setting.precision.place_dtype,
            setting.device,
            setting.channels_last,
        )
        prepared = prepare_datasets(setting, origin, datasets)
        return CellEvaluator(setting, placement, prepared, recalibrator)


def rays_evaluator(
    setting: Setting,
    origin: Point,
    directions: Sequence[Direction],
    datasets: Sequence[Dataset],
    buffers: BufferPolicy = BufferPolicy.FROZEN,
    recalibrator: Recalibrator | None = None,
) -> CellEvaluator:
    """f_k(α) = L(θ + αd_k) for several directions; cells are (α, k).

    Raises:
        PrecisionUnavailable, TargetsInvalid, MemoryExceeded: see `prepare_datasets`.
    """
    require_available(setting.precision, setting.device)
    with memory_guard(setting.batch_size):
        placement = RaysPlacement(
            setting.network,
            origin,
            directions,
            buffers,
            setting.precision.place_dtype,
            setting.device,
            setting.channels_last,
        )
        prepared = prepare_datasets(setting, origin, datasets)
        return CellEvaluator(setting, placement, prepared, recalibrator)


def segment_evaluator(
    setting: Setting,
    origin: Point,
    target: Point,
    datasets: Sequence[Dataset],
    buffers: BufferPolicy = BufferPolicy.FROZEN,
    recalibrator: Recalibrator | None = None,
) -> CellEvaluator:
    """f(α) = L((1 − α)θ + αθ′); cells are (α, None).

    Raises:
        PrecisionUnavailable, TargetsInvalid, MemoryExceeded: see `prepare_datasets`.
    """
    require_available(setting.precision, setting.device)
    with memory_guard(setting.batch_size):
        placement = SegmentPlacement(
            setting.network,
            origin,
            target,
            buffers,
            setting.precision.place_dtype,
            setting.device,
            setting.channels_last,
        )
        prepared = prepare_datasets(setting, origin, datasets)
        return CellEvaluator(setting, placement, prepared, recalibrator)


@dataclass(frozen=True)
class PrecisionError:
    """How far a precision's values lie from float32's on a sample of cells.

    Attributes:
        cells: how many cells had a finite loss in both and were compared.
        largest_relative_loss, mean_relative_loss: |L − L32| / |L32|, absolute where L32 is 0.
        largest_accuracy: largest difference of accuracies; None where there are none.
        changed_status: cells that are finite in one precision only.
    """

    cells: int
    largest_relative_loss: float
    mean_relative_loss: float
    largest_accuracy: float | None
    changed_status: int


def compare_precision(
    tested: Sequence[CellResult], reference: Sequence[CellResult]
) -> PrecisionError:
    """The error of `tested` against `reference`, the same cells evaluated in float32."""
    relative: list[float] = []
    accuracy: list[float] = []
    changed = 0
    for a, b in zip(tested, reference, strict=True):
        pairs = list(zip(a.datasets, b.datasets, strict=True))
        changed += any(p.status != q.status for p, q in pairs)
        for p, q in pairs:
            if p.status != "ok" or q.status != "ok":
                continue
            relative.append(abs(p.loss - q.loss) / (abs(q.loss) or 1.0))
            if p.accuracy is not None and q.accuracy is not None:
                accuracy.append(abs(p.accuracy - q.accuracy))
    return PrecisionError(
        cells=len(tested),
        largest_relative_loss=max(relative, default=math.nan),
        mean_relative_loss=sum(relative) / len(relative) if relative else math.nan,
        largest_accuracy=max(accuracy, default=None) if accuracy else None,
        changed_status=changed,
    )


def measure_precision_error(
    tested: CellEvaluator, reference: CellEvaluator, cells: Sequence[Cell]
) -> PrecisionError:
    """Evaluates `cells` with both and compares; `reference` is the float32 evaluator."""
    return compare_precision(tested.evaluate(cells), reference.evaluate(cells))
