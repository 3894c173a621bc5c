"""Mean, standard error and share of right answers from per-sample values, in float64.

Owns the reduction of (value, weight) pairs over samples. With weights w_i of mean one (`counting`),

    L = (1/m) Σ w_i ℓ_i        SE² = Σ (w_i (ℓ_i − L))² / (m (m − 1))

With all weights 1 these are the sample mean and its standard error. With w_i = n_i m / N, for
samples of n_i positions, L is the ratio Σ s_i / Σ n_i of the samples' sums s_i = n_i ℓ_i, and SE is
its standard error by linearisation, samples as clusters: SE² = Σ (s_i − L n_i)² / (m (m − 1) n̄²),
n̄ = N/m, without correction for a finite population (Cochran 1977, Sampling Techniques, 3rd ed.,
§2.11). Positions of one sample need not be independent.

The order of every summation is fixed by the number of samples
alone: not by the batch size, the threads or the device's load, so that a value never changes its
bits. Errors are two-pass: deviations from the mean are summed, never squares of large numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from workers.engine.counting import Counting

# Sums are made of blocks of this many samples, each summed by one thread, and then over the
# blocks. PyTorch splits one sum over threads only beyond 32,768 terms, here 8 million samples.
_BLOCK = 256


@dataclass(frozen=True)
class Measurement:
    """One data set at one point.

    Attributes:
        loss: weighted mean of the per-sample losses; NaN and infinities as they came.
        stderr: its standard error; NaN for one sample or where the loss is not finite.
        accuracy: fraction of right answers, with the same weights; None where the loss defines
            none, and NaN where the status is not `ok`.
        samples: how many count.
        status: `ok`, `nan`, `posinf`, `neginf` or `invalid_buffer`.
    """

    loss: float
    stderr: float
    accuracy: float | None
    samples: int
    status: str


class SampleStatistics:
    """Buffers for one data set's per-sample values, and their reduction on the device."""

    def __init__(self, counting: Counting, device: torch.device) -> None:
        held = counting.samples + counting.ignored_samples
        self._losses = torch.zeros(held, dtype=torch.float64, device=device)
        self._correct = torch.zeros(held, dtype=torch.float64, device=device)
        included, weights = counting.included, counting.weights
        self._index = None if included is None else included.to(device)
        self._weights = None if weights is None else self._counted(weights.to(device))
        self.samples = counting.samples
        padded = max(-(-self.samples // _BLOCK), 1) * _BLOCK
        self._scratch = torch.zeros(padded, dtype=torch.float64, device=device)

    def record(self, start: int, stop: int, losses: Tensor, correct: Tensor | None) -> None:
        """Keeps the values of samples `start` to `stop`, each of shape (stop − start,)."""
        self._losses[start:stop].copy_(losses)
        if correct is not None:
            self._correct[start:stop].copy_(correct)

    def reduce(self, row: Tensor) -> None:
        """Writes (mean, squared standard error, mean of `correct`) to `row`, shape (3,).

        Stays on the device: nothing waits for it.
        """
        m = self.samples
        losses = self._counted(self._losses)
        mean = self._sum(self._weighted(losses)) / m
        row[0] = mean
        deviations = self._weighted(losses - mean).square_()
        row[1] = self._sum(deviations) / (m * (m - 1)) if m > 1 else math.nan
        row[2] = self._sum(self._weighted(self._counted(self._correct))) / m

    def _weighted(self, values: Tensor) -> Tensor:
        return values if self._weights is None else values * self._weights

    def _counted(self, values: Tensor) -> Tensor:
        return values if self._index is None else values.index_select(0, self._index)

    def _sum(self, values: Tensor) -> Tensor:
        self._scratch[: self.samples].copy_(values)
        return self._scratch.view(-1, _BLOCK).sum(1).sum()


def measurement(row: list[float], samples: int, has_accuracy: bool) -> Measurement:
    """A reduced row, read on the host, as the values and the status that are reported."""
    loss, squared_error, accuracy = row
    if math.isnan(loss):
        status = "nan"
    elif math.isinf(loss):
        status = "posinf" if loss > 0 else "neginf"
    else:
        status = "ok"
    ok = status == "ok"
    return Measurement(
        loss=loss,
        stderr=math.sqrt(squared_error) if ok and squared_error >= 0 else math.nan,
        accuracy=(accuracy if ok else math.nan) if has_accuracy else None,
        samples=samples,
        status=status,
    )


def invalid_buffer(samples: int, has_accuracy: bool) -> Measurement:
    """The measurement of a cell whose buffers no network could have: nothing was evaluated."""
    return Measurement(
        loss=math.nan,
        stderr=math.nan,
        accuracy=math.nan if has_accuracy else None,
        samples=samples,
        status="invalid_buffer",
    )
