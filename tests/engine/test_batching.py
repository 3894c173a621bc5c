"""The choice of a batch size: within the budget, within the data, and memory told honestly."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest
import torch
from torch import nn

from tests.engine.cases import BY_NAME
from tests.support.module_network import ModuleNetwork, point_of
from workers.engine.activations import peak_activation_bytes
from workers.engine.batching import (
    activation_bytes_per_sample,
    choose_batching,
)
from workers.engine.datasets import Dataset
from workers.engine.directions import random_direction
from workers.engine.errors import MemoryExceeded
from workers.engine.evaluation import Setting
from workers.engine.losses import Loss
from workers.engine.network import Point
from workers.engine.surface import plane_evaluator

CASE = BY_NAME["convnet"]
SETTING = Setting(CASE.network, CASE.loss, 1)


def test_the_peak_counts_live_outputs_only() -> None:
    # A chain of equal layers holds two activations at a time, however long it is.
    chain = nn.Sequential(*(nn.Linear(64, 64) for _ in range(9)))
    x = torch.zeros(10, 64)
    with torch.inference_mode():
        peak = peak_activation_bytes(chain, (x,))
    assert peak == 2 * 10 * 64 * 4


def test_views_cost_nothing() -> None:
    x = torch.zeros(8, 8)
    assert peak_activation_bytes(lambda t: t.t().reshape(4, 16)[:2].t(), (x,)) <= 8 * 8 * 4
    assert peak_activation_bytes(lambda t: t.view(64)[:32], (x,)) == 0


def test_the_choice_keeps_to_the_data_and_to_the_budget() -> None:
    chosen = choose_batching(SETTING, CASE.origin, [CASE.dataset])
    assert chosen.batch_size == CASE.dataset.samples  # 37: less than any candidate
    per_sample = activation_bytes_per_sample(SETTING, CASE.origin, CASE.dataset)
    assert per_sample >= 2 * 6 * 8 * 8 * 4
    tight = choose_batching(
        SETTING, CASE.origin, [CASE.dataset], memory_budget_bytes=int(2 * 5 * per_sample) + 1
    )
    assert tight.batch_size == 5


def _wide(width: int) -> tuple[Setting, Point, Dataset]:
    """A network whose activations are two layers of this width a sample, and 700 samples."""
    module = nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, 3))
    network = ModuleNetwork(module)
    data = Dataset("big", (torch.zeros(700, 4),), torch.zeros(700, dtype=torch.int64))
    return Setting(network, Loss.named("cross_entropy"), 1), point_of(module), data


@pytest.mark.parametrize(("width", "size"), [(8, 128), (12_000, 64), (20_000, 32), (60_000, 32)])
def test_the_larger_a_samples_activations_the_smaller_the_batch(width: int, size: int) -> None:
    setting, origin, data = _wide(width)
    assert choose_batching(setting, origin, [data]).batch_size == size
    # one batch of the data leaves nothing to choose
    assert choose_batching(setting, origin, [data.head(100)]).batch_size == 100
    # and a budget is kept to
    per_sample = activation_bytes_per_sample(setting, origin, data)
    tight = choose_batching(setting, origin, [data], memory_budget_bytes=int(2 * 9.5 * per_sample))
    assert tight.batch_size == 9


def test_the_choice_does_not_depend_on_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    setting, origin, data = _wide(2000)
    first = choose_batching(setting, origin, [data])

    mine = threading.get_ident()

    def forbidden(real: Callable[[], float]) -> Callable[[], float]:
        def clock() -> float:
            # other threads of this process may look at theirs
            if threading.get_ident() == mine:
                raise AssertionError("a choice that can move a value's bits asked what time it is")
            return real()

        return clock

    with monkeypatch.context() as patched:
        for name in ("perf_counter", "monotonic", "time", "process_time"):
            patched.setattr(time, name, forbidden(getattr(time, name)))
        assert choose_batching(setting, origin, [data]) == first


def test_a_budget_too_small_for_one_sample_is_said_so() -> None:
    with pytest.raises(MemoryExceeded, match="one sample needs") as caught:
        choose_batching(SETTING, CASE.origin, [CASE.dataset], memory_budget_bytes=100)
    assert (caught.value.code, caught.value.batch_size) == ("out_of_memory", 1)


class Greedy(nn.Module):
    """Asks for far more memory than any machine has once a batch holds more than six samples."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.ones(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if len(x) > 6:
            torch.empty(1 << 60, dtype=torch.uint8)
        return x * self.w


def test_running_out_of_memory_halves_the_choice_and_names_the_size_in_an_evaluation() -> None:
    module = Greedy()
    network = ModuleNetwork(module)
    dataset = Dataset("d", (torch.ones(40, 1),), torch.ones(40, 1))
    setting = Setting(network, Loss.named("mse"), 40)
    assert choose_batching(setting, point_of(module), [dataset]).batch_size in (4, 5)
    evaluator = plane_evaluator(
        setting, point_of(module), random_direction(network, 0, "x"), None, [dataset]
    )
    with pytest.raises(MemoryExceeded) as caught:
        evaluator.evaluate([(0.0, None)])
    assert caught.value.batch_size == 40
