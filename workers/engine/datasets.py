"""A data set: checked on the host, then resident on the device in fixed batches.

Owns which samples form which batch and in what memory format. The batches are views of tensors
that are moved once; nothing is copied, converted or sent per cell, except that whole-number inputs
for a network that wants real ones stay small in memory and are converted batch by batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from workers.engine.errors import DatasetInvalid
from workers.engine.losses import Loss
from workers.engine.network import Network

#: Values looked at together: 4 MiB of float32.
_CHECKED_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class Dataset:
    """Samples on the host.

    Attributes:
        name: for results and messages.
        inputs: in the network's order, each with the samples as first dimension.
        targets: likewise.
        part: whether these are some samples of a data set, which may all be without a target.
    """

    name: str
    inputs: tuple[Tensor, ...]
    targets: Tensor
    part: bool = False

    @property
    def samples(self) -> int:
        return len(self.targets)

    def head(self, count: int) -> Dataset:
        """The first `count` samples."""
        part = self.part or count < self.samples
        inputs = tuple(t[:count] for t in self.inputs)
        return Dataset(self.name, inputs, self.targets[:count], part)


def dataset_from_tensors(
    name: str, tensors: Mapping[str, Tensor], network: Network, loss: Loss
) -> Dataset:
    """A data set from named tensors: `inputs`, or `inputs.<name>` for several, and `targets`.

    Raises:
        DatasetInvalid: tensors are missing, unknown, empty, of unequal lengths, not finite, or of
            a type that the network does not take.
    """
    names = network.input_names[:-1] if loss.takes_targets else network.input_names
    keys = {f"inputs.{n}": n for n in names}
    if len(names) == 1 and "inputs" in tensors:
        keys = {"inputs": names[0]}
    wanted = [*keys, "targets"]
    missing = [key for key in wanted if key not in tensors]
    unknown = [key for key in tensors if key not in wanted]
    if missing or unknown:
        what = f"lacks {missing}" if missing else f"has unknown tensors {unknown}"
        raise DatasetInvalid(f"data set {name!r} {what}; the network needs {wanted}")
    dataset = Dataset(name, tuple(tensors[key] for key in keys), tensors["targets"])
    _check(dataset, list(keys), network)
    return dataset


def input_dtypes(network: Network) -> tuple[torch.dtype | None, ...]:
    """The types that the network's inputs had when it was made, where it knows them."""
    known = getattr(network, "input_dtypes", None)
    if known is None:
        return (None,) * len(network.input_names)
    return tuple(getattr(torch, name) for name in known)


def _check(dataset: Dataset, keys: list[str], network: Network) -> None:
    for key, tensor in (
        *zip(keys, dataset.inputs, strict=True),
        ("targets", dataset.targets),
    ):
        if tensor.dim() == 0:
            raise DatasetInvalid(f"{key!r} of data set {dataset.name!r} has no dimension")
        if len(tensor) == 0:
            raise DatasetInvalid(f"{key!r} of data set {dataset.name!r} has no samples")
        if len(tensor) != dataset.samples:
            raise DatasetInvalid(
                f"data set {dataset.name!r} has {len(tensor)} samples in {key!r} "
                f"and {dataset.samples} in 'targets'"
            )
        if tensor.is_floating_point() and not _is_finite(tensor):
            raise DatasetInvalid(
                f"{key!r} of data set {dataset.name!r} holds values that are not finite"
            )
    for key, tensor, dtype in zip(keys, dataset.inputs, input_dtypes(network), strict=False):
        if dtype is None or tensor.dtype == dtype:
            continue
        if tensor.is_floating_point() and not dtype.is_floating_point:
            raise DatasetInvalid(
                f"{key!r} of data set {dataset.name!r} is {tensor.dtype}, the network takes {dtype}"
            )


def _is_finite(tensor: Tensor) -> bool:
    """Whether every value is finite, a block of samples at a time: no second copy of the data."""
    rows = max(1, _CHECKED_AT_ONCE // max(1, tensor[:1].numel()))
    return all(bool(torch.isfinite(part).all()) for part in torch.split(tensor, rows))


@dataclass(frozen=True)
class Batch:
    """Samples `start` to `stop` (exclusive) of the data set, on the device."""

    start: int
    stop: int
    inputs: tuple[Tensor, ...]
    casts: tuple[torch.dtype | None, ...]
    targets: Tensor

    def arguments(self) -> tuple[Tensor, ...]:
        """The inputs as the network takes them."""
        return tuple(
            tensor if cast is None else tensor.to(cast)
            for tensor, cast in zip(self.inputs, self.casts, strict=True)
        )


class ResidentDataset:
    """A data set on the device, cut into batches of `batch_size` and a ragged last one.

    `targets` are those that `losses.conform_targets` gave. With `channels_last` four-dimensional
    inputs are kept in that format, which convolutions run fastest in on CPU and on tensor cores.
    """

    def __init__(
        self,
        dataset: Dataset,
        targets: Tensor,
        network: Network,
        *,
        batch_size: int,
        dtype: torch.dtype,
        device: torch.device,
        channels_last: bool = True,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, not {batch_size}")
        self.name = dataset.name
        self.samples = dataset.samples
        wanted = input_dtypes(network)
        inputs: list[Tensor] = []
        casts: list[torch.dtype | None] = []
        for tensor, native in zip(dataset.inputs, wanted, strict=False):
            kept, cast = _placed(tensor, native, dtype, device, channels_last)
            inputs.append(kept)
            casts.append(cast)
        targets = targets.to(device, dtype if targets.is_floating_point() else targets.dtype)
        self.batches = tuple(
            Batch(
                start,
                min(start + batch_size, self.samples),
                tuple(tensor[start : start + batch_size] for tensor in inputs),
                tuple(casts),
                targets[start : start + batch_size],
            )
            for start in range(0, self.samples, batch_size)
        )


def _placed(
    tensor: Tensor,
    native: torch.dtype | None,
    dtype: torch.dtype,
    device: torch.device,
    channels_last: bool,
) -> tuple[Tensor, torch.dtype | None]:
    """An input as it stays on the device, and the type it takes batch by batch, if another.

    One copy at most: type, device and memory format change together.
    """
    wants_real = native.is_floating_point if native is not None else tensor.is_floating_point()
    cast = dtype if wants_real and not tensor.is_floating_point() else None
    if tensor.is_floating_point():
        kept = dtype
    else:
        kept = tensor.dtype if wants_real or native is None else native
    if channels_last and tensor.dim() == 4:
        return _channels_last(tensor, kept, device), cast
    return tensor.to(device, kept).contiguous(), cast


def _channels_last(tensor: Tensor, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Channels last by the strides themselves: `memory_format` leaves one-channel images as is."""
    moved = tensor.permute(0, 2, 3, 1)
    if moved.is_contiguous() and tensor.dtype == dtype and tensor.device == device:
        return tensor
    return torch.empty(moved.shape, dtype=dtype, device=device).copy_(moved).permute(0, 3, 1, 2)
