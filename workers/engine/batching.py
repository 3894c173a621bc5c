"""The batch size and memory format of a job: chosen once, by memory and a short measurement.

Owns the choice only. It is made when a job is prepared and then given to every worker, because it
can move the last bits of a value. On a CPU the kernels' rounding does not depend on the sizes that
are tried (but for products of very small matrices), so two measurements that come to different
choices still give the same values.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
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

_CPU_CANDIDATES = (32, 64, 128)
_CUDA_CANDIDATES = (512, 1024, 2048, 4096)
# Operators' own scratch space, and the outputs' losses, beside what the meter sees.
_MARGIN = 2.0
#: Activations of one batch where no budget is given.
_CPU_BATCH_BYTES = 512 << 20
_CUDA_BATCH_BYTES = 8 << 30
# Two candidates whose speeds differ by less than this count as equal: the smaller one is taken,
# so that the choice does not hang on noise.
_TIE = 0.05
#: What the other memory format must win by.
_FORMAT_TIE = 0.1
_MEASURED_SECONDS = 0.04
#: No larger size is tried once a pass takes this long: its kernels are busy enough.
_LONG_PASS_SECONDS = 1.0
_METERED_SAMPLES = 8


@dataclass(frozen=True)
class Batching:
    """How a data set is cut and laid out.

    Attributes:
        batch_size: samples per forward pass.
        channels_last: the memory format of images and of convolutions' weights.
        samples_per_second: as measured; None where there was nothing to choose from.
    """

    batch_size: int
    channels_last: bool = True
    samples_per_second: float | None = None


def choose_batching(
    setting: Setting,
    origin: Point,
    datasets: Sequence[Dataset],
    *,
    memory_budget_bytes: int | None = None,
) -> Batching:
    """The fastest of a few batch sizes that fit the budget, and of the two memory formats.

    `setting.batch_size` and `setting.channels_last` are ignored. A data set smaller than a
    candidate makes its own size one. The measurement takes a fraction of a second for small
    networks; where one pass takes longer than that, each candidate is run once or twice.

    Args:
        memory_budget_bytes: of one batch's activations.

    Raises:
        MemoryExceeded: not even one sample fits the budget or the device.
        TargetsInvalid, PrecisionUnavailable: see `prepare_datasets`.
    """
    setting = replace(setting, channels_last=True)
    largest = max(datasets, key=lambda dataset: dataset.samples)
    limit = _limit(setting, origin, largest, memory_budget_bytes)
    cuda = setting.device.type == "cuda"
    candidates = sorted({min(size, limit) for size in _offered(cuda=cuda)})
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
        if size / rate > _LONG_PASS_SECONDS and not cuda:
            break
    if best_rate == 0.0:
        return Batching(_largest_that_fits(setting, origin, largest, candidates[0] // 2))
    if all(tensor.dim() != 4 for tensor in largest.inputs):
        return Batching(best, True, best_rate)
    other = replace(setting, channels_last=False)
    rate = _samples_per_second(other, origin, largest, best)
    if rate > best_rate * (1 + _FORMAT_TIE):
        return Batching(best, False, rate)
    return Batching(best, True, best_rate)


def largest_candidate(device: torch.device) -> int:
    """The largest batch size that is ever tried."""
    return _offered(cuda=device.type == "cuda")[-1]


def activation_bytes_per_sample(setting: Setting, origin: Point, dataset: Dataset) -> float:
    """Memory of one forward pass at its peak, per sample.

    Raises:
        MemoryExceeded: not even one sample fits.
    """
    count = min(_METERED_SAMPLES, dataset.samples)
    while True:
        try:
            with memory_guard(count):
                return _activation_bytes(setting, origin, dataset.head(count), count) / count
        except MemoryExceeded:
            if count == 1:
                raise
            count //= 2


def _activation_bytes(setting: Setting, origin: Point, dataset: Dataset, count: int) -> int:
    evaluation, infer = _small(setting, origin, dataset, count)
    batch = evaluation.batches[0]
    arguments = batch.arguments()
    if setting.loss.takes_targets:
        arguments = (*arguments, batch.targets)
    return peak_activation_bytes(infer, arguments)


def measure_cell_seconds(evaluator: CellEvaluator, cells: Sequence[Cell]) -> float:
    """Wall seconds of one cell: the median over `cells`, after one that is not counted."""
    evaluator.evaluate(cells[:1])
    taken = []
    for cell in cells:
        start = time.perf_counter()
        evaluator.evaluate([cell])
        taken.append(time.perf_counter() - start)
    return sorted(taken)[len(taken) // 2]


def _offered(*, cuda: bool) -> tuple[int, ...]:
    return _CUDA_CANDIDATES if cuda else _CPU_CANDIDATES


def _limit(setting: Setting, origin: Point, dataset: Dataset, budget: int | None) -> int:
    """The largest batch that the data and the memory allow."""
    per_sample = activation_bytes_per_sample(setting, origin, dataset)
    default = _CUDA_BATCH_BYTES if setting.device.type == "cuda" else _CPU_BATCH_BYTES
    fitting = int((budget or default) / (_MARGIN * max(per_sample, 1.0)))
    if budget is None:
        fitting = max(fitting, 1)
    elif fitting < 1:
        raise MemoryExceeded(
            f"one sample needs about {int(_MARGIN * per_sample)} bytes of activations, "
            f"the budget is {budget}",
            batch_size=1,
        )
    return min(dataset.samples, fitting)


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
        first = one_pass()
        if first > _LONG_PASS_SECONDS or seconds == 0.0:
            return size / first
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
