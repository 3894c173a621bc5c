"""The batch size and memory format of a job: chosen once, by memory and a short measurement.

Owns the choice only. It is made when a job is prepared and then given to every worker, because it
can move the last bits of a value. On a CPU the kernels' rounding does not depend on the sizes that
are tried (but for products of very small matrices), so two measurements that come to different
choices still give the same values.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

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
_FORMAT_TIE = 0.2
#: As many rounds as fit into the time.
_ROUNDS = 4
_RACE_SECONDS = 0.4
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

    `setting.batch_size` and `setting.channels_last` are ignored. Data that fit into one batch of
    the largest size are one, unmeasured. Otherwise the measurement takes a fraction of a second for
    small networks; where passes take longer than that, each candidate is run twice.

    Args:
        memory_budget_bytes: of one batch's activations.

    Raises:
        MemoryExceeded: not even one sample fits the budget or the device.
        TargetsInvalid, PrecisionUnavailable: see `prepare_datasets`.
    """
    setting = replace(setting, channels_last=True)
    largest = max(datasets, key=lambda dataset: dataset.samples)
    limit = _limit(setting, origin, largest, memory_budget_bytes)
    offered = _offered(cuda=setting.device.type == "cuda")
    if limit <= offered[-1]:
        # one batch: too little work for a choice to matter
        return Batching(_largest_that_fits(setting, origin, largest, limit))
    race = _Race(setting, origin, largest)
    sizes = [size for size in offered if race.enters(size, channels_last=True)]
    if not sizes:
        return Batching(_largest_that_fits(setting, origin, largest, offered[0] // 2))
    formats = any(tensor.dim() == 4 for tensor in largest.inputs)
    if formats:
        race.enters(sizes[-1], channels_last=False)
    race.run()
    best = sizes[0]
    for size in sizes[1:]:
        if race.rate(size) > race.rate(best) * (1 + _TIE):
            best = size
    rate, other = race.rate(sizes[-1]), race.rate(sizes[-1], channels_last=False)
    if formats and other > rate * (1 + _FORMAT_TIE):
        return Batching(sizes[-1], False, other)
    return Batching(best, True, race.rate(best))


class _Race:
    """Batch sizes and memory formats timed in turns, so that what else the machine does meanwhile
    slows all of them alike; the fastest pass of each counts.
    """

    def __init__(self, setting: Setting, origin: Point, dataset: Dataset) -> None:
        self._setting, self._origin, self._dataset = setting, origin, dataset
        self._infer = _infer(setting, origin)  # one for all: no weights kept for each entry
        self._passes: dict[tuple[int, bool], Callable[[], float]] = {}
        self._fastest: dict[tuple[int, bool], float] = {}

    def enters(self, size: int, *, channels_last: bool) -> bool:
        """Runs a first pass; False where the memory does not suffice, or where the pass before
        took so long that larger ones would gain nothing.
        """
        if any(seconds > _LONG_PASS_SECONDS for seconds in self._fastest.values()):
            return False
        setting = replace(self._setting, channels_last=channels_last)
        try:
            run = _one_pass(setting, self._origin, self._dataset, size, self._infer)
            self._fastest[size, channels_last] = run()
        except MemoryExceeded:
            return False
        self._passes[size, channels_last] = run
        return True

    def run(self) -> None:
        begun, rounds = time.perf_counter(), 0
        while rounds < _ROUNDS and time.perf_counter() - begun < _RACE_SECONDS:
            for entry, run in self._passes.items():
                seconds = run()
                # the first round also warmed caches and libraries up
                self._fastest[entry] = min(self._fastest[entry], seconds) if rounds else seconds
            rounds += 1

    def rate(self, size: int, *, channels_last: bool = True) -> float:
        """Samples per second; 0 where it did not enter."""
        seconds = self._fastest.get((size, channels_last))
        return 0.0 if seconds is None else size / seconds


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
    evaluation, infer = _small(setting, origin, dataset, count), _infer(setting, origin)
    batch = evaluation.batches[0]
    arguments = batch.arguments()
    if setting.loss.takes_targets:
        arguments = (*arguments, batch.targets)
    return peak_activation_bytes(infer, arguments)


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
    infer = _infer(setting, origin)
    while size >= 1:
        try:
            _one_pass(setting, origin, dataset, size, infer)()
        except MemoryExceeded:
            size //= 2
        else:
            return size
    raise MemoryExceeded("the memory does not suffice for a single sample", batch_size=1)


def _one_pass(
    setting: Setting, origin: Point, dataset: Dataset, size: int, infer: Infer
) -> Callable[[], float]:
    """A pass of one batch of this size; calling it gives its seconds."""
    evaluation = _small(setting, origin, dataset.head(size), size)
    row = torch.zeros(3, dtype=torch.float64, device=setting.device)

    def run() -> float:
        with memory_guard(size), torch.inference_mode(), arithmetic(setting.precision):
            start = time.perf_counter()
            evaluation.measure(infer, row)
            row.cpu()
            return time.perf_counter() - start

    return run


def _small(setting: Setting, origin: Point, dataset: Dataset, size: int) -> DatasetEvaluation:
    setting = replace(setting, batch_size=size)
    (evaluation,) = prepare_datasets(setting, origin, [dataset])
    return evaluation


def _infer(setting: Setting, origin: Point) -> Infer:
    """The network at the origin."""
    point = cast_point(origin, setting.precision.compute_dtype, setting.device)
    with torch.inference_mode():
        return setting.network.at(point.parameters, point.buffers)
