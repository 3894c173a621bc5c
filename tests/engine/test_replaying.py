"""Recorded passes: used where they give the plain pass's bits, and nowhere else.

No device is needed for the rule; what stands in for one here records and replays passes on a CPU.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from tests.benchmarks.networks import ResNet
from tests.support.module_network import ModuleNetwork, point_of, seeded
from workers.engine import surface
from workers.engine.datasets import Dataset
from workers.engine.directions import random_direction
from workers.engine.evaluation import Setting
from workers.engine.losses import Loss
from workers.engine.replaying import Pass, ReplayedPass, recorder
from workers.engine.surface import Cell, CellEvaluator, plane_evaluator

CELLS: tuple[Cell, ...] = tuple((a / 4, b / 3) for a in range(3) for b in range(3))


class Recorder:
    """Counts what is recorded and replayed; `make` says what a recording does."""

    def __init__(self, make: Callable[[Pass], Pass]) -> None:
        self.recorded = self.replayed = 0
        self._make = make

    def __call__(self, run: Pass) -> Pass:
        self.recorded += 1
        replay = self._make(run)

        def counted() -> None:
            self.replayed += 1
            replay()

        return counted


def _evaluator() -> CellEvaluator:
    module = seeded(lambda: ResNet(8)).eval()
    network, point = ModuleNetwork(module), point_of(module)
    x, y = (random_direction(network, seed, "x").to(torch.float32) for seed in (1, 2))
    generator = torch.Generator().manual_seed(3)
    data = [
        Dataset(
            name,
            (torch.randn(samples, 3, 8, 8, generator=generator),),
            torch.randint(0, 10, (samples,), generator=generator),
        )
        for name, samples in (("train", 13), ("test", 5))
    ]
    setting = Setting(network, Loss.named("cross_entropy"), 4)
    return plane_evaluator(setting, point, x, y, data)


def _nothing(run: Pass) -> Pass:
    return lambda: None


def _refusing(run: Pass) -> Pass:
    raise RuntimeError("operation not permitted when stream is capturing")


def test_on_a_cpu_nothing_is_recorded() -> None:
    assert recorder(torch.device("cpu")) is None
    assert recorder(torch.device("cuda")) is not None


@pytest.mark.parametrize(
    ("make", "replays"),
    [(lambda run: run, True), (_nothing, False), (_refusing, False)],
    ids=["faithful", "forgetful", "refusing"],
)
def test_cells_have_the_plain_passs_bits_whatever_recordings_do(
    make: Callable[[Pass], Pass], replays: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = _evaluator().evaluate(CELLS)
    stand_in = Recorder(make)
    monkeypatch.setattr(surface, "recorder", lambda device: stand_in)
    evaluator = _evaluator()
    told = []
    assert evaluator.evaluate(CELLS[:1]) == plain[:1]
    assert stand_in.recorded == 0, "few cells are not worth it"
    assert evaluator.evaluate(CELLS, lambda index, result: told.append(result)) == plain
    assert told == plain
    assert stand_in.recorded == 1
    assert evaluator.replays is replays
    # once to be compared, and then for every cell after the three plain ones
    assert stand_in.replayed == (1 + len(CELLS) - 2 if replays else make is not _refusing)


def test_values_that_are_no_numbers_are_compared_too() -> None:
    values = torch.zeros(2, 3, dtype=torch.float64)

    def run() -> None:
        values.fill_(float("nan"))

    replayed = ReplayedPass(run, values, lambda again: again)
    for _ in range(4):
        replayed()
    assert replayed.replays
    assert bool(values.isnan().all())


def test_a_recording_with_another_last_bit_is_not_believed() -> None:
    values = torch.zeros(1, 3, dtype=torch.float64)

    def almost() -> None:
        values.fill_(1.0 + 2**-52)

    replayed = ReplayedPass(lambda: values.fill_(1.0), values, lambda _: almost)
    for _ in range(5):
        replayed()
        assert values.tolist() == [[1.0, 1.0, 1.0]]
    assert not replayed.replays
