"""The CUDA benchmark's own code, run on a CPU: what it will run on a device works."""

from __future__ import annotations

import pytest
import torch

from tests.benchmarks import cuda_speed
from tests.benchmarks.networks import ResNet


def test_both_sides_run_and_agree_on_a_cpu() -> None:
    row = cuda_speed.compare(lambda: ResNet(8), torch.device("cpu"), samples=48, rounds=1)
    assert set(row) == {"published", "float32", "bf16"}
    assert row["float32"]["relative_loss_error"] == 0.0
    assert 0.0 < row["bf16"]["relative_loss_error"] < 0.05
    for precision in ("float32", "bf16"):
        assert row[precision]["cell_s"] > 0
        assert row[precision]["ratio"] > 0


def test_without_a_device_it_says_so_and_makes_nothing_up(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    cuda_speed.run()
    assert "nothing was measured" in capsys.readouterr().out
