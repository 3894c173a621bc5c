"""Programs that begin with a linear map: which do, and that combining its products changes nothing
beyond rounding."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tests.benchmarks.networks import MLP, ResNet, ViT
from tests.program_binding.exported import Case, exported
from tests.support.halves import prepare
from tests.support.module_network import seeded
from workers.computation.context import JobContext
from workers.computation.directions import read_direction
from workers.computation.evaluators import Space, build_evaluator
from workers.computation.first_layer import worth_combining
from workers.engine.datasets import Dataset
from workers.engine.direction import Direction
from workers.engine.directions import random_direction
from workers.engine.evaluation import Setting
from workers.engine.losses import Loss
from workers.engine.normalisation import Rule, normalise
from workers.engine.placement import BufferPolicy
from workers.engine.precision import Precision
from workers.engine.surface import Cell, plane_evaluator

CELLS: tuple[Cell, ...] = tuple((a, b) for a in (-1.0, 0.0, 0.7) for b in (-1.0, 0.0, 0.5))


class Narrowing(nn.Module):
    """Two linear maps; `tied` uses the first one's weight twice."""

    def __init__(self, wide: int, *, bias: bool = True, norm: bool = False, tied: bool = False):
        super().__init__()
        self.first, self.last = nn.Linear(48, wide, bias=bias), nn.Linear(wide, 10)
        self.norm = nn.BatchNorm1d(wide) if norm else nn.Identity()
        self.tied = tied

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.relu(self.norm(self.first(x.flatten(1))))
        out = self.last(hidden)
        return out + self.first.weight.sum() if self.tied else out


class Skipping(Narrowing):
    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.relu(self.first(x.flatten(1)))) + x.flatten(1)[:, :10]


@pytest.mark.parametrize(
    ("make", "weight"),
    [
        (lambda: Narrowing(64), "first.weight"),
        (lambda: Narrowing(64, bias=False), "first.weight"),
        (lambda: Narrowing(64, norm=True), None),
        (lambda: Narrowing(64, tied=True), None),
        (lambda: Skipping(64), None),
        (lambda: nn.Sequential(nn.Flatten(), nn.Linear(48, 8), nn.Linear(8, 400)), None),
        (lambda: nn.Sequential(nn.Conv2d(3, 4, 1), nn.Flatten(), nn.Linear(64, 4)), None),
    ],
    ids=["plain", "no bias", "norm after", "weight again", "input again", "small", "convolution"],
)
def test_which_programs_begin_with_a_map_that_holds_most_of_the_work(
    make: Callable[[], nn.Module], weight: str | None, tmp_path: Path
) -> None:
    network = exported(make, (torch.randn(4, 3, 4, 4),), tmp_path).network()
    assert (network.leading and network.leading.weight) == weight


@pytest.mark.parametrize("make", [lambda: ResNet(8), ViT], ids=["resnet", "vit"])
def test_convolutions_and_transformers_do_not(
    make: Callable[[], nn.Module], tmp_path: Path
) -> None:
    assert exported(make, (torch.randn(2, 3, 32, 32),), tmp_path).network().leading is None


@pytest.fixture(scope="module")
def mlp(tmp_path_factory: pytest.TempPathFactory) -> Case:
    images = torch.randn(90, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    return exported(lambda: seeded(lambda: MLP(64)), (images,), tmp_path_factory.mktemp("mlp"))


def _losses(case: Case, precision: Precision, *, combined: bool) -> Tensor:
    network = case.network()
    x, y = (_direction(case, seed) for seed in (1, 2))
    data = Dataset("data", case.inputs, torch.arange(90) % 10)
    setting = Setting(network, Loss.named("cross_entropy"), 32, precision)
    evaluator = plane_evaluator(setting, case.point, x, y, [data], combine_first=combined)
    # in another order as well: nothing of one cell stays in the next
    losses = {r.alpha + 10 * (r.beta or 0): r for r in evaluator.evaluate(CELLS[::-1])}
    again = evaluator.evaluate(CELLS)
    assert all(losses[r.alpha + 10 * (r.beta or 0)] == r for r in again)
    return torch.tensor([r.datasets[0].loss for r in again], dtype=torch.float64)


def _direction(case: Case, seed: int) -> Direction:
    network = case.network()
    raw = random_direction(network, seed, "x")
    return normalise(raw, case.point, network, Rule()).to(torch.float32)


def test_combined_products_are_as_exact_as_direct_ones(mlp: Case) -> None:
    """Errors against float64, the largest of nine cells: both forms within float32's rounding."""
    truth = _losses(mlp, Precision.FLOAT64, combined=False)
    direct = _losses(mlp, Precision.FLOAT32, combined=False)
    combined = _losses(mlp, Precision.FLOAT32, combined=True)
    assert float(((direct - truth) / truth).abs().max()) < 1e-6
    assert float(((combined - truth) / truth).abs().max()) < 1e-6


def test_in_bfloat16_the_combination_is_the_more_exact_one(mlp: Case) -> None:
    truth = _losses(mlp, Precision.FLOAT64, combined=False)
    direct = _losses(mlp, Precision.BF16, combined=False)
    combined = _losses(mlp, Precision.BF16, combined=True)
    assert float(((combined - truth) / truth).abs().max()) < 2 * float(
        ((direct - truth) / truth).abs().max()
    )


class Places(nn.Module):
    """Four classes at each of five places of an image."""

    def __init__(self) -> None:
        super().__init__()
        self.wide, self.last = nn.Linear(3072, 64), nn.Linear(64, 20)

    def forward(self, images: Tensor) -> Tensor:
        out: Tensor = self.last(torch.relu(self.wide(images.flatten(1)))).unflatten(1, (4, 5))
        return out


def test_combined_products_give_the_mean_over_positions_too(tmp_path: Path) -> None:
    images = torch.randn(90, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    case = exported(lambda: seeded(Places), (images,), tmp_path)
    targets = torch.arange(450).reshape(90, 5) % 4
    targets[::3, 1:] = -100
    targets[7] = -100
    loss = Loss.named("cross_entropy", {"reduction": "position"})
    x, y = (_direction(case, seed) for seed in (1, 2))
    found = []
    for precision, combined in (
        (Precision.FLOAT64, False),
        (Precision.FLOAT32, False),
        (Precision.FLOAT32, True),
    ):
        setting = Setting(case.network(), loss, 32, precision)
        data = Dataset("places", (images,), targets)
        evaluator = plane_evaluator(setting, case.point, x, y, [data], combine_first=combined)
        (cell,) = evaluator.evaluate([(0.7, -1.0)])
        found.append(cell.datasets[0])
    truth, direct, combined_first = found
    assert truth.samples == 89
    for got in (direct, combined_first):
        assert got.loss == pytest.approx(truth.loss, rel=1e-6)
        assert got.stderr == pytest.approx(truth.stderr, rel=1e-5)
        assert got.accuracy == pytest.approx(truth.accuracy, rel=1e-12)


def _context(case: Case, precision: Precision) -> JobContext:
    return JobContext(
        job="job_1",
        network=case.network(),
        loss=Loss.named("cross_entropy"),
        precision=precision,
        buffers=BufferPolicy.FROZEN,
        device=torch.device("cpu"),
        origin=case.point,
        points={"ckp_1": case.point},
        datasets=(Dataset("data", case.inputs, torch.arange(90) % 10),),
    )


@pytest.mark.parametrize("precision", [Precision.FLOAT32, Precision.BF16])
def test_a_surface_of_many_cells_combines_and_has_the_same_bits_elsewhere(
    mlp: Case, precision: Precision, tmp_path: Path
) -> None:
    context = _context(mlp, precision)
    spec = {"kind": "random", "normalize": "filter", "ignore": ["bias", "norm"], "axis": None}
    spec |= {"convention": "lossatlas"}
    directions = {axis: {"spec": {**spec, "seed": 7}, "object": None} for axis in ("x", "y")}
    request = {"directions": directions, "orthogonalise": False}
    few = prepare(context, {**request, "cells": 9})
    many = prepare(context, {**request, "cells": 625})
    assert (few.space.combine_first, many.space.combine_first) == (False, True)
    assert few.evaluator is not None
    assert many.evaluator is not None
    found = {}
    for axis, data in many.objects.items():
        path = tmp_path / axis
        path.write_bytes(data)
        found[axis] = read_direction(context, path)
    elsewhere = build_evaluator(context, many.space, found)
    here = many.evaluator.evaluate(CELLS)
    assert elsewhere.evaluate(CELLS[3:5]) == here[3:5]
    direct = few.evaluator.evaluate(CELLS)
    tolerance = 2e-6 if precision is Precision.FLOAT32 else 1e-2
    for a, b in zip(here, direct, strict=True):
        assert a.datasets[0].loss == pytest.approx(b.datasets[0].loss, rel=tolerance)


def test_maps_over_positions_are_not_combined(tmp_path: Path) -> None:
    class Positions(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(6, 16), nn.Linear(16, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(torch.relu(self.first(x)).mean(1))

    case = exported(Positions, (torch.randn(90, 5, 6),), tmp_path)
    context = _context(case, Precision.FLOAT32)
    space = Space(None, (("x", ""),), 32, combine_first=True)
    assert case.network().leading is not None
    assert not worth_combining(context, space, 10_000)


def test_float64_is_never_combined(mlp: Case) -> None:
    context = _context(mlp, Precision.FLOAT64)
    space = Space(None, (("x", ""),), 32, combine_first=True)
    assert not worth_combining(context, space, 10_000)
