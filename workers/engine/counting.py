"""What a mean over a data set is over: which samples count, and how much each weighs.

Owns the pairs (value, weight) that every mean is made of. With ℓ_i the mean of sample i over its
n_i positions with a target, m the samples with n_i > 0 and N = Σ n_i,

    reduction `sample`     L = (1/m) Σ ℓ_i             every sample counts alike
    reduction `position`   L = (1/N) Σ n_i ℓ_i         every position counts alike

Both are L = (1/m) Σ w_i ℓ_i with weights w_i of mean one: 1, or n_i m / N. Where all samples have
equally many positions the weights are exactly 1 and the two reductions are one.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from workers.engine.losses import Loss, Reduction


@dataclass(frozen=True)
class Counting:
    """Samples and positions of a data set, and the weights of its samples.

    Attributes:
        samples: m, samples that have a target.
        positions: N, positions that have one: tokens or pixels where targets are classes, else the
            values that a sample's loss is the mean of.
        ignored_samples: samples without any target.
        ignored_positions: positions without one, those of ignored samples included.
        effective_samples: (Σ w)² / Σ w²: as many samples of equal weight would leave a weighted
            mean as uncertain (Kish 1965, Survey Sampling, §11.7); m where all weigh alike.
        included: indices of the samples that count, int64, shape (m,); None where all do.
        weights: w_i, float64, shape (samples in all,), 0 where a sample does not count; None where
            every sample that counts weighs 1.
    """

    reduction: Reduction
    samples: int
    positions: int
    ignored_samples: int
    ignored_positions: int
    effective_samples: float
    included: Tensor | None = None
    weights: Tensor | None = None

    def to_json(self) -> dict[str, str | int | float]:
        """What a result says of it."""
        return {
            "reduction": self.reduction.value,
            "samples": self.samples,
            "positions": self.positions,
            "ignored_samples": self.ignored_samples,
            "ignored_positions": self.ignored_positions,
            "effective_samples": self.effective_samples,
        }


def count(loss: Loss, targets: Tensor, outputs: Tensor) -> Counting:
    """Counts the targets of a data set.

    Args:
        targets: as `losses.conform_targets` gave them.
        outputs: the network's for a few samples: their trailing shape is what counts.
    """
    held = len(targets)
    each = loss.positions(outputs)
    counted = loss.counted_positions(targets)
    if counted is None:
        return Counting(loss.reduction, held, held * each, 0, 0, float(held))
    samples, positions = int((counted > 0).sum()), int(counted.sum())
    included = None if samples == held else (counted > 0).nonzero().squeeze(1)
    uneven = loss.reduction is Reduction.POSITION and positions != samples * int(counted.max())
    # whole numbers below 2⁵³ until the one division
    weights = counted.to(torch.float64) * samples / positions if uneven else None
    return Counting(
        loss.reduction,
        samples,
        positions,
        held - samples,
        held * each - positions,
        float(samples) if weights is None else samples**2 / float(weights.square().sum()),
        included,
        weights,
    )
