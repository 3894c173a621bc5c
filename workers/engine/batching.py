"""The batch size and memory format of a job: chosen once, by memory and by a rule.

Owns the choice only. It is made when a job is prepared and then given to every worker, because it
can move the last bits of a value: another memory format, and on some devices another batch size,
takes other kernels. So it follows from the program, the data, the precision, the kind of device and
the memory that a setting grants, and never from a clock: the same question has the same bits.
"""

from __future__ import annotations

from collections.abc import Sequence
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
from workers.engine.precision import Precision, arithmetic

#: Batch sizes on offer, the smallest first, and the activations that one batch had better not
#: exceed. On a CPU what lies between two operators stays in its caches then: on one thread, images
#: per second in batches of 32, 64 and 128 are 3020, 2919, 2526 for ResNet-8 (256 KiB an image), and
#: 63, 94, 109 thousand for a perceptron (4 KiB). A GPU is to be kept busy.
_OFFERED = {
    "cpu": ((32, 64, 128), 8 << 20),
    "cuda": ((512, 1024, 2048, 4096), 1 << 30),
}
# Operators' own scratch space, and the outputs' losses, beside what the meter sees.
_MARGIN = 2.0
#: Activations of one batch where no budget is given.
_CPU_BATCH_BYTES = 512 << 20
_CUDA_BATCH_BYTES = 8 << 30
#: In which a CUDA device's tensor cores take images, channels last; its other kernels do not.
_TENSOR_CORES = frozenset({Precision.TF32, Precision.BF16})
_METERED_SAMPLES = 8


@dataclass(frozen=True)
class Batching:
    """How a data set is cut and laid out.

    Attributes:
        batch_size: samples per forward pass.
        channels_last: the memory format of images and of convolutions' weights.
    """

    batch_size: int
    channels_last: bool = True


def choose_batching(
    setting: Setting,
    origin: Point,
    datasets: Sequence[Dataset],
    *,
    memory_budget_bytes: int | None = None,
) -> Batching:
    """The largest batch size whose activations stay within what serves the device best.

    `setting.batch_size` and `setting.channels_last` are ignored. Data that fit into one batch of
    the largest size on offer are one.

    Args:
        memory_budget_bytes: of one batch's activations.

    Raises:
        MemoryExceeded: not even one sample fits the budget or the device.
        TargetsInvalid, PrecisionUnavailable: see `prepare_datasets`.
    """
    device = setting.device.type
    channels_last = device != "cuda" or setting.precision in _TENSOR_CORES
    setting = replace(setting, channels_last=channels_last)
    largest = max(datasets, key=lambda dataset: dataset.samples)
    per_sample = activation_bytes_per_sample(setting, origin, largest)
    limit = _limit(setting, largest, per_sample, memory_budget_bytes)
    offered, within = _OFFERED.get(device, _OFFERED["cpu"])
    size = limit
    if limit > offered[-1]:
        size = max((n for n in offered if n * per_sample <= within), default=offered[0])
    return Batching(_largest_that_fits(setting, origin, largest, size), channels_last)


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


def _limit(setting: Setting, dataset: Dataset, per_sample: float, budget: int | None) -> int:
    """The largest batch that the data and the memory allow."""
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
    row = torch.zeros(3, dtype=torch.float64, device=setting.device)
    while size >= 1:
        try:
            evaluation = _small(setting, origin, dataset.head(size), size)
            with memory_guard(size), torch.inference_mode(), arithmetic(setting.precision):
                evaluation.measure(infer, row)
                row.cpu()
        except MemoryExceeded:
            size //= 2
        else:
            return size
    raise MemoryExceeded("the memory does not suffice for a single sample", batch_size=1)


def _small(setting: Setting, origin: Point, dataset: Dataset, size: int) -> DatasetEvaluation:
    setting = replace(setting, batch_size=size)
    (evaluation,) = prepare_datasets(setting, origin, [dataset])
    return evaluation


def _infer(setting: Setting, origin: Point) -> Infer:
    """The network at the origin."""
    point = cast_point(origin, setting.precision.compute_dtype, setting.device)
    with torch.inference_mode():
        return setting.network.at(point.parameters, point.buffers)
