"""The named losses as per-sample values, and the checks of targets against them.

Owns what ℓ(x_i, y_i; θ) means for each name. Never averages over samples: that is
`statistics`, which does it in float64 and for any batching.

A sample whose outputs have several positions (a sequence, a picture) has the mean over its
positions as its loss, so that "the mean of the per-sample losses" is well defined. Positions equal
to `ignore_index` do not count; a sample all of whose positions are ignored has no loss and is no
sample of the mean. Where samples count unequally many positions the mean over samples is not the
mean over all positions that `torch.nn.functional.cross_entropy` gives on a whole batch: which of
the two is meant is the loss's `reduction`, and how samples weigh in it is `counting`'s.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from workers.engine.errors import InputInvalid, TargetsInvalid
from workers.engine.vocabulary import Vocabulary


class LossName(Vocabulary, of="loss"):
    """Named as on the wire. `program`: the network is given the targets and returns the losses."""

    CROSS_ENTROPY = "cross_entropy"
    MSE = "mse"
    L1 = "l1"
    HUBER = "huber"
    BCE_WITH_LOGITS = "bce_with_logits"
    NLL = "nll"
    PROGRAM = "program"


class Reduction(Vocabulary, of="reduction"):
    """What counts alike in the mean over a data set: every sample, or every position of any."""

    SAMPLE = "sample"
    POSITION = "position"


_CLASSIFYING = frozenset({LossName.CROSS_ENTROPY, LossName.NLL})


@dataclass(frozen=True)
class Loss:
    """A named loss. `ignore_index`: the class index that marks a position without a target."""

    name: LossName
    ignore_index: int = -100
    reduction: Reduction = Reduction.SAMPLE

    @classmethod
    def named(cls, name: str, options: Mapping[str, Any] | None = None) -> Loss:
        """The loss of this name, with a model's `loss_options`.

        Raises:
            InputInvalid: there is no such loss, option or value of it.
        """
        asked = dict(options or {})
        reduction = asked.pop("reduction", Reduction.SAMPLE)
        if asked:
            raise InputInvalid(f"unknown option {min(asked)!r} of the loss; known is 'reduction'")
        return cls(LossName.named(name), reduction=Reduction.named(reduction))

    @property
    def takes_targets(self) -> bool:
        """Whether the network itself is called with the targets as its last input."""
        return self.name is LossName.PROGRAM

    @property
    def has_accuracy(self) -> bool:
        """Whether a fraction of correct answers is defined: for classes and for binary labels."""
        return self.name in _CLASSIFYING or self.name is LossName.BCE_WITH_LOGITS

    def per_sample(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """ℓ of each sample, shape (N,); differentiable in `outputs`.

        In the outputs' type; in float64 where positions count alike and there are several, since
        those are summed over all samples.

        `targets` are as `conform_targets` returned them; their shape is checked there, once, and
        not here, at every batch.
        """
        match self.name:
            case LossName.CROSS_ENTROPY:
                if targets.is_floating_point():
                    values = functional.cross_entropy(outputs, targets, reduction="none")
                    return self._mean_over_positions(values)
                values = functional.cross_entropy(
                    outputs, targets, reduction="none", ignore_index=self.ignore_index
                )
                return self._mean_over_counted(values, targets)
            case LossName.NLL:
                # of maps in channels-last order PyTorch's has no derivative
                values = functional.nll_loss(
                    outputs.contiguous(), targets, reduction="none", ignore_index=self.ignore_index
                )
                return self._mean_over_counted(values, targets)
            case LossName.MSE:
                values = functional.mse_loss(outputs, targets, reduction="none")
            case LossName.L1:
                values = functional.l1_loss(outputs, targets, reduction="none")
            case LossName.HUBER:
                values = functional.huber_loss(outputs, targets, reduction="none")
            case LossName.BCE_WITH_LOGITS:
                values = functional.binary_cross_entropy_with_logits(
                    outputs, targets, reduction="none"
                )
            case LossName.PROGRAM:
                values = outputs
        return self._mean_over_positions(values)

    def correct(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Share of right answers of each sample, shape (N,), 0 or 1 where it has one position.

        For classes the largest output against the target's class (the likeliest one where targets
        are probabilities); for binary labels the logit's sign against one half.
        """
        if self.name is LossName.BCE_WITH_LOGITS:
            hits = (outputs > 0) == (targets > 0.5)
            return self._mean_over_positions(hits.to(torch.float32))
        guess = outputs.argmax(1)
        if targets.is_floating_point():
            return self._mean_over_positions((guess == targets.argmax(1)).to(torch.float32))
        return self._mean_over_counted((guess == targets).to(torch.float32), targets)

    def positions(self, outputs: Tensor) -> int:
        """How many positions a sample has, by the shape of a few samples' outputs."""
        return math.prod(outputs.shape[2 if self.name in _CLASSIFYING else 1 :])

    def counted_positions(self, targets: Tensor) -> Tensor | None:
        """How many positions of each sample have a target, int64, shape (N,); None where all do."""
        if self.name not in _CLASSIFYING or targets.is_floating_point():
            return None
        counted = (targets != self.ignore_index).reshape(len(targets), -1)
        return None if bool(counted.all()) else counted.sum(1)

    def _mean_over_counted(self, values: Tensor, targets: Tensor) -> Tensor:
        if values.dim() == 1:
            return values
        counted = (targets != self.ignore_index).reshape(len(targets), -1)
        flat = values.reshape(len(values), -1)
        kept = torch.where(counted, flat, torch.zeros((), dtype=flat.dtype, device=flat.device))
        return kept.sum(1, dtype=self._sums(flat)) / counted.sum(1).clamp(min=1)

    def _mean_over_positions(self, values: Tensor) -> Tensor:
        if values.dim() == 1:
            return values
        flat = values.reshape(len(values), -1)
        return flat.sum(1, dtype=torch.float64) / flat.shape[1] if self._pools else flat.mean(1)

    def _sums(self, values: Tensor) -> torch.dtype:
        return torch.float64 if self._pools else values.dtype

    @property
    def _pools(self) -> bool:
        return self.reduction is Reduction.POSITION


def conform_targets(loss: Loss, targets: Tensor, outputs: Tensor, *, part: bool = False) -> Tensor:
    """The targets in the type and shape that `loss` computes with, checked against the outputs.

    Args:
        targets: all of a data set's, first dimension = samples.
        outputs: the network's, for a few samples: their trailing shape and type are what counts.
        part: they are those of some samples only, none of which need have a target.

    Raises:
        TargetsInvalid: says what is wrong and what would be right.
    """
    if targets.dim() == 0:
        raise TargetsInvalid("targets have no dimension; the first one must be the samples'")
    if loss.name is LossName.PROGRAM:
        if outputs.dim() == 0:
            raise TargetsInvalid(
                "with the loss 'program' the program must return one loss per sample; "
                "it returns a single number"
            )
        require_positions(loss, outputs)
        return targets
    if not outputs.is_floating_point():
        raise TargetsInvalid(f"the network's outputs are {outputs.dtype}, not a floating type")
    if loss.name in _CLASSIFYING:
        return _conform_classes(loss, targets, outputs, part)
    return _conform_values(loss, targets, outputs)


def require_positions(loss: Loss, outputs: Tensor) -> None:
    """Raises TargetsInvalid where positions shall count alike and the outputs do not tell any.

    A program that returns one loss per sample may have averaged over any number of positions.
    """
    if loss.takes_targets and loss.reduction is Reduction.POSITION and outputs.dim() < 2:
        raise TargetsInvalid(
            "with the loss 'program' the reduction 'position' needs the losses of every position, "
            "of sizes [samples, positions, …]; this program returns one loss per sample, which "
            "does not say of how many positions: return them before the mean "
            "(reduction='none'), or use the reduction 'sample'"
        )


def _conform_classes(loss: Loss, targets: Tensor, outputs: Tensor, part: bool) -> Tensor:
    if outputs.dim() < 2:
        raise TargetsInvalid(
            f"{loss.name} needs outputs of shape (samples, classes, …); "
            f"the network's are {_sample_shape(outputs)} per sample"
        )
    classes = outputs.shape[1]
    if targets.is_floating_point():
        return _conform_probabilities(loss, targets, outputs)
    positions = outputs.shape[2:]
    if targets.shape[1:] != positions:
        squeezed = _without_singletons(targets.shape[1:])
        if squeezed != _without_singletons(positions):
            raise TargetsInvalid(
                f"class targets have shape {_sample_shape(targets)} per sample; outputs of shape "
                f"{_sample_shape(outputs)} per sample need {tuple(positions)}"
            )
        targets = targets.reshape(len(targets), *positions)
    if targets.dtype is torch.bool:
        raise TargetsInvalid("class targets are true or false; give integers")
    targets = targets.to(torch.int64)
    counted = targets[targets != loss.ignore_index]
    if counted.numel() == 0:
        if part:
            return targets
        raise TargetsInvalid(
            f"every target is the ignored index {loss.ignore_index}: there is nothing to average"
        )
    low, high = int(counted.min()), int(counted.max())
    if low < 0 or high >= classes:
        raise TargetsInvalid(
            f"class targets lie between {low} and {high}, but the network has {classes} classes: "
            f"they must lie between 0 and {classes - 1}"
        )
    return targets


def _conform_probabilities(loss: Loss, targets: Tensor, outputs: Tensor) -> Tensor:
    if loss.name is LossName.NLL:
        raise TargetsInvalid(f"nll needs integer class targets, not {targets.dtype}")
    if targets.shape[1:] != outputs.shape[1:]:
        raise TargetsInvalid(
            f"probability targets have shape {_sample_shape(targets)} per sample, the outputs "
            f"{_sample_shape(outputs)}; for class indices give integers"
        )
    _require_finite(targets)
    if float(targets.min()) < 0 or float(targets.max()) > 1:
        raise TargetsInvalid("probability targets must lie between 0 and 1")
    return targets.to(outputs.dtype)


def _conform_values(loss: Loss, targets: Tensor, outputs: Tensor) -> Tensor:
    if _without_singletons(targets.shape[1:]) != _without_singletons(outputs.shape[1:]):
        raise TargetsInvalid(
            f"{loss.name} compares like with like: targets have shape {_sample_shape(targets)} "
            f"per sample, the network's outputs {_sample_shape(outputs)}"
            + ("" if targets.is_floating_point() else "; one-hot encode class indices first")
        )
    if targets.is_complex():
        raise TargetsInvalid("targets are complex numbers")
    _require_finite(targets)
    if loss.name is LossName.BCE_WITH_LOGITS and (
        float(targets.min()) < 0 or float(targets.max()) > 1
    ):
        raise TargetsInvalid("bce_with_logits needs targets between 0 and 1")
    return targets.reshape(len(targets), *outputs.shape[1:]).to(outputs.dtype)


def _require_finite(targets: Tensor) -> None:
    if targets.is_floating_point() and not bool(torch.isfinite(targets).all()):
        raise TargetsInvalid("targets hold values that are not finite")


def _without_singletons(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(size for size in shape if size != 1)


def _sample_shape(tensor: Tensor) -> tuple[int, ...]:
    return tuple(tensor.shape[1:])
