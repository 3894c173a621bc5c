"""The CUDA benchmarks' own code, run on a CPU: what it will run on a device works."""

from __future__ import annotations

from types import ModuleType

import pytest
import torch

from tests.benchmarks import cuda_curvature, cuda_speed
from tests.benchmarks.networks import MLP, ResNet


def test_both_sides_run_and_agree_on_a_cpu() -> None:
    row = cuda_speed.compare(lambda: ResNet(8), torch.device("cpu"), samples=48, rounds=1)
    assert set(row) == {"published", "float32", "bf16"}
    assert row["float32"]["relative_loss_error"] == 0.0
    assert 0.0 < row["bf16"]["relative_loss_error"] < 0.05
    for precision in ("float32", "bf16"):
        assert row[precision]["cell_s"] > 0
        assert row[precision]["ratio"] > 0
        assert row[precision]["replayed"] is False


@pytest.mark.parametrize("budget", [1 << 30, 1 << 21])
def test_both_ends_of_a_spectrum_on_a_cpu(budget: int) -> None:
    row = cuda_curvature.ends(lambda: MLP(16), torch.device("cpu"), samples=70, budget=budget)
    assert row["parameters"] == 3072 * 16 + 16 + 16 * 16 + 16 + 16 * 10 + 10
    assert row["converged"]
    assert row["smallest"] < row["largest"]
    assert max(row["residuals"]) <= cuda_curvature.TOLERANCE * row["largest"]
    assert row["products"] <= cuda_curvature.MOST_PRODUCTS
    assert (row["batch_size"] == 70) == (budget == 1 << 30)


@pytest.mark.parametrize("benchmark", [cuda_speed, cuda_curvature])
def test_without_a_device_it_says_so_and_makes_nothing_up(
    benchmark: ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    benchmark.run()
    assert "nothing was measured" in capsys.readouterr().out
