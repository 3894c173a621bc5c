"""One data set measured at one point of weight space.

Owns the loop over batches: L(θ) = (1/m) Σ w_i ℓ(x_i, y_i; θ) over all samples, whatever the
batching; what counts and how much it weighs is `counting`'s.
Nothing in it waits for the device; the caller reads the results when it likes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from workers.engine.counting import Counting, count
from workers.engine.datasets import Batch, Dataset, ResidentDataset
from workers.engine.errors import PrecisionUnavailable
from workers.engine.losses import Loss, conform_targets
from workers.engine.memory import memory_guard
from workers.engine.network import Network, Point
from workers.engine.precision import Precision, arithmetic, require_available
from workers.engine.statistics import SampleStatistics

Infer = Callable[..., Tensor]

CPU = torch.device("cpu")

_PROBE_SAMPLES = 2


@dataclass(frozen=True)
class Setting:
    """What is evaluated and how: fixed once per job, since all of it can move a value's bits.

    Attributes:
        network: the function.
        loss: per-sample loss.
        batch_size: samples per forward pass; the last one of a data set may be shorter.
        precision: arithmetic of the forward pass.
        device: where everything lives.
        channels_last: memory format of images and of convolutions' weights; no value depends on it
            but for rounding.
    """

    network: Network
    loss: Loss
    batch_size: int
    precision: Precision = Precision.FLOAT32
    device: torch.device = CPU
    channels_last: bool = True


class DatasetEvaluation:
    """A data set on the device with its targets checked, ready to be measured at any point."""

    def __init__(self, setting: Setting, dataset: Dataset, outputs: Tensor) -> None:
        """`outputs` are the network's for a few samples: targets are checked against them.

        Raises:
            TargetsInvalid: the targets do not fit the loss and the outputs.
        """
        self._loss = setting.loss
        self._takes_targets = setting.loss.takes_targets
        self._has_accuracy = setting.loss.has_accuracy
        self.name = dataset.name
        targets = conform_targets(setting.loss, dataset.targets, outputs, part=dataset.part)
        self.counting = count(setting.loss, targets, outputs)
        weights = self.counting.weights
        self._weights = None if weights is None else weights.to(setting.device)
        self._statistics = SampleStatistics(self.counting, setting.device)
        # Reduced types serve the network; the loss of its outputs is float32 at least.
        self._loss_dtype = setting.precision.place_dtype
        if targets.is_floating_point() and not self._takes_targets:
            targets = targets.to(self._loss_dtype)
        self._data = ResidentDataset(
            dataset,
            targets,
            setting.network,
            batch_size=setting.batch_size,
            dtype=setting.precision.compute_dtype,
            device=setting.device,
            channels_last=setting.channels_last,
        )

    @property
    def samples(self) -> int:
        """m: how many samples the mean is over."""
        return self._statistics.samples

    @property
    def has_accuracy(self) -> bool:
        return self._has_accuracy

    @property
    def batches(self) -> tuple[Batch, ...]:
        return self._data.batches

    def measure(
        self, infer: Infer, row: Tensor, given: Callable[[int], Tensor] | None = None
    ) -> None:
        """Writes (mean loss, squared standard error, accuracy) at `infer`'s point to `row`.

        `row` has shape (3,), float64, on the device. Call under `torch.inference_mode`. `given`
        makes what `infer` takes for a batch, by its number, where that is not the batch's inputs.
        """
        for index, batch in enumerate(self._data.batches):
            if given is None:
                outputs = self.outputs(infer, batch)
            else:
                outputs = infer(given(index)).to(self._loss_dtype)
            losses = self._loss.per_sample(outputs, batch.targets)
            correct = self._loss.correct(outputs, batch.targets) if self._has_accuracy else None
            self._statistics.record(batch.start, batch.stop, losses, correct)
        self._statistics.reduce(row)

    def batch_sum(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Σ w_i ℓ_i over a batch's samples, float64; that of all batches is m L.

        Differentiable in `outputs`. A sample that does not count adds 0.
        """
        losses = self._loss.per_sample(outputs, batch.targets).to(torch.float64)
        if self._weights is not None:
            losses = losses * self._weights[batch.start : batch.stop]
        return losses.sum()

    def outputs(self, infer: Infer, batch: Batch) -> Tensor:
        """The network's outputs for a batch, in the type that losses are computed in."""
        arguments = batch.arguments()
        if self._takes_targets:
            arguments = (*arguments, batch.targets)
        return infer(*arguments).to(self._loss_dtype)


def prepare_datasets(
    setting: Setting,
    origin: Point,
    datasets: Sequence[Dataset],
    *,
    differentiable: bool = False,
) -> tuple[DatasetEvaluation, ...]:
    """Every data set checked against the network's outputs at `origin` and moved to the device.

    Args:
        differentiable: keeps ordinary tensors, which derivatives can be taken through; those of
            inference mode are the default.

    Raises:
        PrecisionUnavailable: the device or the program cannot compute in this precision.
        TargetsInvalid: a data set's targets do not fit.
        MemoryExceeded: the data do not fit into the device's memory.
    """
    require_available(setting.precision, setting.device)
    with (
        memory_guard(setting.batch_size),
        torch.no_grad(),
        torch.inference_mode(not differentiable),
        arithmetic(setting.precision),
    ):
        return tuple(
            DatasetEvaluation(setting, dataset, _probe(setting, origin, dataset))
            for dataset in datasets
        )


def count_targets(setting: Setting, origin: Point, dataset: Dataset) -> Counting:
    """What a mean over the data set is over; the data stay where they are.

    Raises:
        PrecisionUnavailable, TargetsInvalid, MemoryExceeded: see `prepare_datasets`.
    """
    require_available(setting.precision, setting.device)
    with memory_guard(setting.batch_size), torch.inference_mode(), arithmetic(setting.precision):
        outputs = _probe(setting, origin, dataset)
        targets = conform_targets(setting.loss, dataset.targets, outputs, part=dataset.part)
        return count(setting.loss, targets, outputs)


def _probe(setting: Setting, origin: Point, dataset: Dataset) -> Tensor:
    """The network's outputs at `origin` for the first samples, in the loss's type."""
    dtype, device = setting.precision.compute_dtype, setting.device
    head = dataset.head(_PROBE_SAMPLES)
    targets = head.targets
    resident = ResidentDataset(
        head,
        targets,
        setting.network,
        batch_size=_PROBE_SAMPLES,
        dtype=dtype,
        device=device,
        channels_last=setting.channels_last,
    )
    batch = resident.batches[0]
    arguments = batch.arguments()
    if setting.loss.takes_targets:
        arguments = (*arguments, batch.targets)
    point = cast_point(origin, dtype, device)
    try:
        outputs = setting.network.at(point.parameters, point.buffers)(*arguments)
    except RuntimeError as error:
        if setting.precision in (Precision.FLOAT32, Precision.TF32):
            raise
        raise PrecisionUnavailable(
            f"this program does not run in {setting.precision}: {error}"
        ) from error
    return outputs.to(setting.precision.place_dtype)


def cast_point(point: Point, dtype: torch.dtype, device: torch.device) -> Point:
    """The point on a device, its floating tensors in `dtype`."""

    def cast(tensor: Tensor) -> Tensor:
        return tensor.to(device, dtype if tensor.is_floating_point() else tensor.dtype)

    return Point(
        {name: cast(tensor) for name, tensor in point.parameters.items()},
        {name: cast(tensor) for name, tensor in point.buffers.items()},
    )
