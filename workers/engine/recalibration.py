"""Running statistics recomputed at a point from samples: `buffers: recalibrate`.

Between two minima the activations' statistics are neither one's, and frozen or interpolated ones
show a barrier that is not the loss's own. Recomputed they are those of the point itself.

The samples are the first of a data set, in order, in as few passes of equal size (to one sample) as
the memory allows, all samples in one pass where it can be. In a pass every batch norm normalises
by the pass's own mean and biased variance; the pass's statistics are that mean and the unbiased
variance; the result is their mean over the passes (`torch.optim.swa_utils.update_bn`). A target
data set is then evaluated in evaluation mode as ever.

Owns which samples go into which pass. The statistics are the network's to compute.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol, runtime_checkable

import torch
from torch import Tensor

from workers.engine.batching import activation_bytes_per_sample
from workers.engine.datasets import Dataset
from workers.engine.errors import InputInvalid, RecalibrationUnsupported
from workers.engine.evaluation import Setting, prepare_datasets
from workers.engine.network import Point

#: Activations of one pass at their peak.
_PASS_BYTES: Final = {"cpu": 1 << 30, "cuda": 8 << 30}
#: Statistics of fewer samples say little: a pass is not cut further.
_SMALLEST_PASS: Final = 32
#: The variance of a single value is undefined.
_FEWEST: Final = 2


@runtime_checkable
class Recalibratable(Protocol):
    """A network that can recompute its running statistics; `recalibratable` is None if it cannot
    for a reason of its own, and empty if it has none.
    """

    recalibratable: frozenset[str] | None

    def recalibrated(
        self,
        parameters: Mapping[str, Tensor],
        buffers: Mapping[str, Tensor],
        passes: Sequence[tuple[Tensor, ...]],
    ) -> dict[str, Tensor]:
        """The buffers of `recalibratable`, from batches of inputs."""
        ...


@dataclass(frozen=True)
class Recalibration:
    """How statistics are recomputed, decided once per job: both numbers can move their bits."""

    samples: int
    passes: int


def plan_recalibration(
    setting: Setting, origin: Point, dataset: Dataset, samples: int
) -> Recalibration:
    """The first `samples` of a data set, or all that it has, in as few passes as the memory allows.

    Raises:
        RecalibrationUnsupported: the network's statistics cannot be recomputed.
        InputInvalid: there are fewer than two samples.
    """
    _network(setting)
    count = min(samples, dataset.samples)
    if count < _FEWEST:
        raise InputInvalid(
            f"statistics need {_FEWEST} samples at least; data set {dataset.name!r} gives {count}"
        )
    per_sample = activation_bytes_per_sample(setting, origin, dataset)
    budget = _PASS_BYTES.get(setting.device.type, _PASS_BYTES["cpu"])
    wanted = math.ceil(count * per_sample / budget)
    return Recalibration(count, max(1, min(wanted, count // _SMALLEST_PASS)))


class Recalibrator:
    """The samples on the device, ready to be sent through the network at any point."""

    def __init__(
        self, setting: Setting, origin: Point, dataset: Dataset, how: Recalibration
    ) -> None:
        """
        Raises:
            RecalibrationUnsupported: the network's statistics cannot be recomputed.
            TargetsInvalid, MemoryExceeded: see `prepare_datasets`.
        """
        self._setting = setting
        self._network = _network(setting)
        whole = replace(setting, batch_size=how.samples)
        (held,) = prepare_datasets(whole, origin, [dataset.head(how.samples)])
        (self._batch,) = held.batches
        self._passes = how.passes

    def __call__(
        self, parameters: Mapping[str, Tensor], buffers: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """The buffers at these parameters: those given, the running statistics replaced."""
        arguments = self._batch.arguments()
        if self._setting.loss.takes_targets:
            arguments = (*arguments, self._batch.targets)
        cut = [torch.tensor_split(tensor, self._passes) for tensor in arguments]
        found = self._network.recalibrated(parameters, buffers, list(zip(*cut, strict=True)))
        return {
            name: found[name].to(tensor.dtype).reshape(tensor.shape) if name in found else tensor
            for name, tensor in buffers.items()
        }


def _network(setting: Setting) -> Recalibratable:
    network = setting.network
    if not isinstance(network, Recalibratable):
        raise RecalibrationUnsupported(
            "this network cannot recompute its running statistics; register it as an exported "
            "program, or use the buffers 'frozen' or 'interpolate'"
        )
    if network.recalibratable is None:
        raise RecalibrationUnsupported(
            "a batch norm's running statistics are constants of this program, not buffers; export "
            "a module that keeps them as buffers, or use the buffers 'frozen' or 'interpolate'"
        )
    return network
