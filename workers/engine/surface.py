"""Cells of a surface or a line, evaluated on several data sets.

Owns the static memory that every cell reuses and the order of work within a cell. A cell's values
depend on the cell alone: not on which others are evaluated, in what order, or in which process.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from workers.engine.counting import Counting
from workers.engine.datasets import Dataset
from workers.engine.direction import Direction
from workers.engine.evaluation import DatasetEvaluation, Setting, cast_point, prepare_datasets
from workers.engine.first_layer import LeadingMap, Responses, leading_map
from workers.engine.memory import memory_guard
from workers.engine.network import Network, Point
from workers.engine.placement import (
    BufferPolicy,
    LinesPlacement,
    Placement,
    PlanePlacement,
    SegmentPlacement,
)
from workers.engine.precision import Precision, arithmetic, require_available
from workers.engine.recalibration import Recalibrator
from workers.engine.replaying import ReplayedPass, recorder
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
        first_weights: Sequence[Tensor] = (),
        beside: CellEvaluator | None = None,
    ) -> None:
        """`recalibrator`, where there is one, replaces every cell's running statistics.

        With `first_weights`, the first linear map's at the origin and along each axis, its products
        are computed once and combined at every cell (`workers.engine.first_layer`). The vectors of
        `beside` are used as well, where they are of the same types: each cell writes them anew.
        """
        self._recalibrator = recalibrator
        self._setting = setting
        self._placement = placement
        self._datasets = tuple(datasets)
        device, precision = setting.device, setting.precision
        layout, buffer_layout = placement.parameter_layout, placement.buffer_layout
        place, compute = precision.place_dtype, precision.compute_dtype
        self._theta: Tensor
        self._state: Tensor
        if beside is not None and beside._setting.precision.place_dtype is place:
            self._theta, self._state = beside._theta, beside._state
        else:
            self._theta = layout.zeros(place, device)
            self._state = buffer_layout.zeros(place, device)
        self._used_theta: Tensor
        self._used_state: Tensor
        if compute is place:
            self._used_theta, self._used_state = self._theta, self._state
        elif beside is not None and beside._setting.precision.compute_dtype is compute:
            self._used_theta, self._used_state = beside._used_theta, beside._used_state
        else:
            self._used_theta = layout.zeros(compute, device)
            self._used_state = buffer_layout.zeros(compute, device)
        self._parameters = layout.views(self._used_theta)
        moving = buffer_layout.views(self._used_state)
        self._buffers = {
            name: moving[name] if name in moving else placement.fixed_buffers[name]
            for name in setting.network.buffers
        }
        self._first_weights = tuple(first_weights)
        self._leading = leading_map(setting.network) if first_weights else None
        self._responses = self._respond(first_weights) if first_weights else ()
        record = recorder(device)
        self._replayed: ReplayedPass | None = None
        if record is not None and recalibrator is None and not first_weights:
            rows = torch.zeros((len(self._datasets), 3), dtype=torch.float64, device=device)
            # not a method: what held its own evaluator would hold the device's memory too
            run = partial(
                _measure, setting.network, self._parameters, self._buffers, self._datasets, rows
            )
            self._replayed = ReplayedPass(run, rows, record)

    @property
    def countings(self) -> tuple[Counting, ...]:
        """What each data set's means are over."""
        return tuple(dataset.counting for dataset in self._datasets)

    @property
    def replays(self) -> bool:
        """Whether cells are evaluated by replaying a recorded pass (`workers.engine.replaying`)."""
        return self._replayed is not None and self._replayed.replays

    def combining(self, first_weights: Sequence[Tensor]) -> CellEvaluator:
        """The same cells over the same data and vectors, first products computed once."""
        return CellEvaluator(
            self._setting, self._placement, self._datasets, self._recalibrator, first_weights, self
        )

    def over(
        self,
        setting: Setting,
        origin: Point,
        datasets: Sequence[Dataset],
        recalibrator: Recalibrator | None = None,
    ) -> CellEvaluator:
        """The same cells in another setting over other data; θ and the directions are shared.

        In this evaluator's precision first products are combined as here, in others they are not.
        """
        same = setting.precision is self._setting.precision
        return CellEvaluator(
            setting,
            self._placement,
            prepare_datasets(setting, origin, datasets),
            recalibrator,
            self._first_weights if same else (),
            self,
        )

    def _respond(self, weights: Sequence[Tensor]) -> tuple[Responses, ...]:
        leading = self._leading
        if leading is None:
            raise ValueError("the network begins with no linear map that holds most of its work")
        device = self._setting.device
        with memory_guard(self._setting.batch_size), torch.inference_mode():
            placed = [weight.to(device, torch.float32) for weight in weights]
            return tuple(
                Responses(leading, d.batches, self._parameters, self._buffers, placed)
                for d in self._datasets
            )

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

        The same bits as those of a cell whose placement writes this very point, where first
        products are not combined.

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
            _measure(self._setting.network, self._parameters, buffers, self._datasets, rows)
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
        if self._leading is not None:
            self._measure_rest(self._leading, (alpha, beta), buffers, rows)
            return True
        if self._replayed is not None:
            self._replayed()
            rows.copy_(self._replayed.result)
            return True
        _measure(self._setting.network, self._parameters, buffers, self._datasets, rows)
        return True

    def _measure_rest(
        self,
        leading: LeadingMap,
        cell: Cell,
        buffers: Mapping[str, Tensor],
        rows: Tensor,
    ) -> None:
        """A cell whose first linear map is combined from what was computed once."""
        bias = None
        if leading.bias is not None:
            bias = self._placement.parameter_layout.views(self._theta)[leading.bias]
        dtype = self._setting.precision.compute_dtype
        coordinates = [coordinate for coordinate in cell if coordinate is not None]
        infer = leading.rest(self._parameters, buffers)
        for dataset, responses, row in zip(self._datasets, self._responses, rows, strict=True):

            def given(index: int, responses: Responses = responses) -> Tensor:
                return responses.at(index, coordinates, bias, dtype)

            dataset.measure(infer, row, given)

    def _result(self, cell: Cell, rows: Tensor, evaluated: bool) -> CellResult:
        if not evaluated:
            measured = tuple(invalid_buffer(d.samples, d.has_accuracy) for d in self._datasets)
        else:
            measured = tuple(
                measurement(row, d.samples, d.has_accuracy)
                for row, d in zip(rows.tolist(), self._datasets, strict=True)
            )
        return CellResult(cell[0], cell[1], measured)


def _measure(
    network: Network,
    parameters: Mapping[str, Tensor],
    buffers: Mapping[str, Tensor],
    datasets: Sequence[DatasetEvaluation],
    rows: Tensor,
) -> None:
    """Writes the measurements at a point to `rows`, one for each data set."""
    infer = network.at(parameters, buffers)
    for dataset, row in zip(datasets, rows, strict=True):
        dataset.measure(infer, row)


def plane_evaluator(
    setting: Setting,
    origin: Point,
    x: Direction,
    y: Direction | None,
    datasets: Sequence[Dataset],
    buffers: BufferPolicy = BufferPolicy.FROZEN,
    recalibrator: Recalibrator | None = None,
    *,
    combine_first: bool = False,
) -> CellEvaluator:
    """f(α, β) = L(θ + αδ + βη), or f(α) = L(θ + αδ) without `y`.

    Args:
        combine_first: the first linear map's products are computed once and combined at every
            cell; the network must have one (`first_layer.leading_map`).

    Raises:
        PrecisionUnavailable, TargetsInvalid, MemoryExceeded: see `prepare_datasets`.
    """
    place = partial(PlanePlacement, x=x, y=y)
    first = (x, y) if combine_first else None
    return _evaluator(setting, origin, place, datasets, buffers, recalibrator, first)


def first_weights(
    setting: Setting, origin: Point, x: Direction, y: Direction | None
) -> tuple[Tensor, ...]:
    """The first linear map's W at the origin and along each axis."""
    leading = leading_map(setting.network)
    if leading is None or setting.precision is Precision.FLOAT64:
        raise ValueError("there is no first linear map to combine in single precision")
    along = [x] if y is None else [x, y]
    moved = [direction.parameters[leading.weight] for direction in along]
    return (origin.parameters[leading.weight], *moved)


def lines_evaluator(
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
    place = partial(LinesPlacement, directions=directions)
    return _evaluator(setting, origin, place, datasets, buffers, recalibrator)


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
    place = partial(SegmentPlacement, target=target)
    return _evaluator(setting, origin, place, datasets, buffers, recalibrator)


def _evaluator(
    setting: Setting,
    origin: Point,
    place: Callable[..., Placement],
    datasets: Sequence[Dataset],
    buffers: BufferPolicy,
    recalibrator: Recalibrator | None,
    combined: tuple[Direction, Direction | None] | None = None,
) -> CellEvaluator:
    """The evaluator of the cells that `place` lays out.

    Args:
        place: a placement's type, with what it moves along.
        combined: x and y of a plane whose first products are to be combined.
    """
    require_available(setting.precision, setting.device)
    with memory_guard(setting.batch_size):
        placement = place(
            network=setting.network,
            origin=origin,
            policy=buffers,
            dtype=setting.precision.place_dtype,
            device=setting.device,
            channels_last=setting.channels_last,
        )
        prepared = prepare_datasets(setting, origin, datasets)
        weights = () if combined is None else first_weights(setting, origin, *combined)
        return CellEvaluator(setting, placement, prepared, recalibrator, weights)


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
