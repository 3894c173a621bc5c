"""The batch size of a job: chosen once, by the memory budget and a short measurement.

Owns the choice only. It is made when a job is prepared and then given to every worker, because
another batch size moves the last bits of a value.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from workers.engine.activations import peak_activation_bytes
from workers.engine.datasets import Dataset
from workers.engine.errors import MemoryExceeded
from workers.engine.evaluation import (
    DatasetEvaluation,
    Infer,
    Setting,
    cast_point,
    prepare_datasets,
)
from workers.engine.memory import memory_guard
from workers.engine.network import Point
from workers.engine.precision import arithmetic

if TYPE_CHECKING:
    from workers.engine.surface import Cell, CellEvaluator

_CPU_CANDIDATES = (64, 128, 256, 512)
_CUDA_CANDIDATES = (512, 1024, 2048, 4096)
# Operators' own scratch space, and the outputs' losses, beside what the meter sees.
_MARGIN = 2.0
# Two candidates whose speeds differ by less than this count as equal: the smaller one is taken,
# so that the choice does not hang on noise.
_TIE = 0.05
_MEASURED_SECONDS = 0.05
_METERED_SAMPLES = 8


def choose_batch_size(
    setting: Setting,
    origin: Point,
    datasets: Sequence[Dataset],
    *,
    memory_budget_bytes: int | None = None,
) -> int:
    """The fastest of a few batch sizes that fit the budget, at least 1.

    `setting.batch_size` is ignored. A data set smaller than a candidate makes its own size one.
    The measurement takes a fraction of a second for small networks; where one pass takes longer
    than that, each candidate is run once.

    Raises:
        MemoryExceeded: not even one sample fits the budget or the device.
        TargetsInvalid, PrecisionUnavailable: see `prepare_datasets`.
    """
    largest = max(datasets, key=lambda dataset: dataset.samples)
    limit = largest.samples
    if memory_budget_bytes is not None:
        per_sample = activation_bytes_per_sample(setting, origin, largest)
        limit = min(limit, int(memory_budget_bytes / (_MARGIN * max(per_sample, 1))))
        if limit < 1:
            raise MemoryExceeded(
                f"one sample needs about {int(_MARGIN * per_sample)} bytes of activations, "
                f"the budget is {memory_budget_bytes}",
                batch_size=1,
            )
    offered = _CUDA_CANDIDATES if setting.device.type == "cuda" else _CPU_CANDIDATES
    candidates = sorted({min(size, limit) for size in offered})
    if len(candidates) == 1:
        return _largest_that_fits(setting, origin, largest, candidates[0])
    best, best_rate = candidates[0], 0.0
    for size in candidates:
        try:
            rate = _samples_per_second(setting, origin, largest, size)
        except MemoryExceeded:
            break
        if rate > best_rate * (1 + _TIE):
            best, best_rate = size, rate
        elif rate < best_rate * (1 - 2 * _TIE):
            break  # past the best: larger ones leave the caches further behind
    if best_rate == 0.0:
        return _largest_that_fits(setting, origin, largest, candidates[0] // 2)
    return best


def activation_bytes_per_sample(setting: Setting, origin: Point, dataset: Dataset) -> float:
    """Memory of one forward pass at its peak, per sample."""
    count = min(_METERED_SAMPLES, dataset.samples)
    evaluation, infer = _small(setting, origin, dataset.head(count), count)
    batch = evaluation.batches[0]
    arguments = batch.arguments()
    if setting.loss.takes_targets:
        arguments = (*arguments, batch.targets)
    return peak_activation_bytes(infer, arguments) / count


def measure_cell_seconds(evaluator: CellEvaluator, cells: Sequence[Cell]) -> float:
    """Wall seconds of one cell: the median over `cells`, after one that is not counted."""
    evaluator.evaluate(cells[:1])
    taken = []
    for cell in cells:
        start = time.perf_counter()
        evaluator.evaluate([cell])
        taken.append(time.perf_counter() - start)
    return sorted(taken)[len(taken) // 2]


def _largest_that_fits(setting: Setting, origin: Point, dataset: Dataset, size: int) -> int:
    """`size`, halved until one batch goes through the device's memory."""
    while size >= 1:
        try:
            _samples_per_second(setting, origin, dataset, size, seconds=0.0)
        except MemoryExceeded:
            size //= 2
        else:
            return size
    raise MemoryExceeded("the memory does not suffice for a single sample", batch_size=1)


def _samples_per_second(
    setting: Setting,
    origin: Point,
    dataset: Dataset,
    size: int,
    *,
    seconds: float = _MEASURED_SECONDS,
) -> float:
    """Speed at a batch size: the best of the passes that fit into `seconds`, one at least."""
    evaluation, infer = _small(setting, origin, dataset.head(size), size)
    row = torch.zeros(3, dtype=torch.float64, device=setting.device)
    fastest = float("inf")

    def one_pass() -> float:
        start = time.perf_counter()
        evaluation.measure(infer, row)
        row.cpu()
        return time.perf_counter() - start

    with memory_guard(size), torch.inference_mode(), arithmetic(setting.precision):
        # The first pass warms caches and lazily initialised libraries; it counts only where
        # passes are so long that this does not matter.
        fastest = one_pass()
        if fastest > seconds:
            return size / fastest
        fastest, begun = one_pass(), time.perf_counter()
        while time.perf_counter() - begun < seconds:
            fastest = min(fastest, one_pass())
    return size / fastest


def _small(
    setting: Setting, origin: Point, dataset: Dataset, size: int
) -> tuple[DatasetEvaluation, Infer]:
    setting = replace(setting, batch_size=size)
    (evaluation,) = prepare_datasets(setting, origin, [dataset])
    point = cast_point(origin, setting.precision.compute_dtype, setting.device)
    with torch.inference_mode():
        return evaluation, setting.network.at(point.parameters, point.buffers)
