"""The reduction over samples: against NumPy, stable, and the same bits on any threads."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from workers.engine.counting import Counting, count
from workers.engine.losses import Loss
from workers.engine.statistics import SampleStatistics, measurement

CPU = torch.device("cpu")


def counting(targets: torch.Tensor, reduction: str = "sample") -> Counting:
    """Of class targets, (samples) or (samples, positions)."""
    loss = Loss.named("cross_entropy", {"reduction": reduction})
    return count(loss, targets, torch.zeros(1, 2, *targets.shape[1:]))


def reduced(values: torch.Tensor, counted: Counting | None = None) -> list[float]:
    if counted is None:
        counted = counting(torch.zeros(len(values), dtype=torch.int64))
    statistics = SampleStatistics(counted, CPU)
    statistics.record(0, len(values), values, None)
    row = torch.zeros(3, dtype=torch.float64)
    statistics.reduce(row)
    out: list[float] = row.tolist()
    return out


@pytest.mark.parametrize("m", [2, 255, 256, 257, 5000])
def test_mean_and_error_are_numpys(m: int) -> None:
    values = torch.rand(m, dtype=torch.float64, generator=torch.Generator().manual_seed(m)) * 9
    mean, squared, _ = reduced(values)
    assert mean == pytest.approx(values.numpy().mean(), rel=1e-15)
    assert math.sqrt(squared) == pytest.approx(
        np.std(values.numpy(), ddof=1) / math.sqrt(m), rel=1e-13
    )


def test_a_small_spread_on_a_large_mean_is_not_lost() -> None:
    """Sums of squares would give 0 or a negative variance here."""
    values = 1e8 + torch.tensor([0.0, 1e-4] * 500, dtype=torch.float64)
    _, squared, _ = reduced(values)
    exact = np.std([0.0, 1e-4] * 500, ddof=1) / math.sqrt(1000)
    assert math.sqrt(squared) == pytest.approx(exact, rel=1e-3)


def test_float32_losses_are_summed_in_float64() -> None:
    values = torch.full((100_001,), 0.1, dtype=torch.float32)
    mean, _, _ = reduced(values)
    assert mean == pytest.approx(float(np.float32(0.1)), rel=1e-14)


def test_threads_do_not_move_a_bit() -> None:
    values = torch.rand(200_000, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    before = torch.get_num_threads()
    rows = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            rows.append(reduced(values))
    finally:
        torch.set_num_threads(before)
    assert rows[0] == rows[1] == rows[2]


def test_samples_without_a_target_do_not_count() -> None:
    values = torch.tensor([1.0, 100.0, 3.0])
    mean, squared, _ = reduced(values, counting(torch.tensor([0, -100, 1])))
    assert mean == 2.0
    assert squared == pytest.approx(1.0)


def test_one_sample_has_no_standard_error() -> None:
    got = measurement(reduced(torch.tensor([2.0])), 1, False)
    assert (got.loss, got.status, got.accuracy) == (2.0, "ok", None)
    assert math.isnan(got.stderr)


@pytest.mark.parametrize(
    ("bad", "status"),
    [(math.nan, "nan"), (math.inf, "posinf"), (-math.inf, "neginf")],
)
def test_what_is_not_finite_is_reported_as_it_came(bad: float, status: str) -> None:
    got = measurement(reduced(torch.tensor([1.0, bad, 2.0])), 3, True)
    assert got.status == status
    assert str(got.loss) == str(bad)
    assert math.isnan(got.stderr)
    assert got.accuracy is not None
    assert math.isnan(got.accuracy)


def test_infinities_of_both_signs_are_not_a_number() -> None:
    assert measurement(reduced(torch.tensor([math.inf, -math.inf])), 2, False).status == "nan"
