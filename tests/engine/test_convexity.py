"""Convexity maps against dense float64 Hessians at each cell."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.engine.dense_hessian import CURVED, dense_hessian, objective
from tests.support.module_network import ModuleNetwork, point_of, seeded
from workers.engine.convexity import CellCurvature, ConvexityEvaluator
from workers.engine.datasets import Dataset
from workers.engine.direction import Direction
from workers.engine.directions import between, random_direction
from workers.engine.evaluation import Setting
from workers.engine.losses import Loss
from workers.engine.network import Point
from workers.engine.normalisation import Kind, Rule, normalise
from workers.engine.objective import Objective
from workers.engine.placement import BufferPolicy, PlanePlacement, SegmentPlacement
from workers.engine.precision import Precision

CASE = CURVED["convnet"]
CPU = torch.device("cpu")
# Neither square nor symmetric.
GRID = [(a, b) for b in (0.0, 0.8) for a in (-1.0, 0.0, 0.5)]


def plane(exclude: frozenset[Kind] = frozenset(), **options: object) -> ConvexityEvaluator:
    x, y = directions()
    placement = PlanePlacement(
        CASE.network, CASE.origin, x, y, BufferPolicy.FROZEN, torch.float64, CPU
    )
    return ConvexityEvaluator(objective(CASE, exclude=exclude), placement, **options)  # type: ignore[arg-type]


def directions() -> tuple[Direction, Direction]:
    rule = Rule.from_words("filter", ())
    x, y = (
        normalise(random_direction(CASE.network, 3, axis), CASE.origin, CASE.network, rule)
        for axis in "xy"
    )
    return x, y


def moved(alpha: float, beta: float) -> Point:
    x, y = directions()
    return Point(
        {
            n: t.double() + alpha * x.parameters[n] + beta * y.parameters[n]
            for n, t in CASE.origin.parameters.items()
        },
        CASE.origin.buffers,
    )


def test_every_cell_against_its_dense_hessian() -> None:
    heard: list[tuple[int, CellCurvature]] = []
    got = plane().evaluate(GRID, lambda index, cell: heard.append((index, cell)))
    assert heard == list(enumerate(got))
    for (alpha, beta), cell in zip(GRID, got, strict=True):
        exact = np.linalg.eigvalsh(dense_hessian(CASE, point=moved(alpha, beta)).numpy())
        assert (cell.alpha, cell.beta, cell.status) == (alpha, beta, "ok")
        assert cell.converged
        assert max(cell.smallest_residual, cell.largest_residual) <= 1e-3 * exact[-1]
        # An eigenvalue lies within the residual.
        assert abs(cell.largest - exact[-1]) <= 1e-3 * exact[-1]
        assert abs(cell.smallest - exact[0]) <= 1e-3 * exact[-1]
        assert cell.ratio == abs(cell.smallest / cell.largest)
        assert 2 <= cell.products <= 40


def test_a_cell_depends_on_itself_alone() -> None:
    together = plane().evaluate(GRID)
    alone = [plane().evaluate([cell])[0] for cell in reversed(GRID)]
    assert together == alone[::-1]
    assert plane(retain=True).evaluate(GRID) == together


def test_excluded_parameters() -> None:
    exclude = frozenset({Kind.BIAS, Kind.NORM})
    (cell,) = plane(exclude).evaluate([(0.5, 0.8)])
    names = [n for n in CASE.network.parameters if CASE.origin.parameters[n].dim() > 1]
    exact = np.linalg.eigvalsh(dense_hessian(CASE, names, moved(0.5, 0.8)).numpy())
    assert abs(cell.largest - exact[-1]) <= 1e-3 * exact[-1]


def test_too_few_products_are_said() -> None:
    (cell,) = plane(max_products=3).evaluate([(0.0, 0.0)])
    assert not cell.converged
    assert cell.products == 3
    assert cell.status == "ok"


class Exponential(nn.Module):
    """exp(x·w): overflows for large weights."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor([1.0, 2.0]))

    def forward(self, x: Tensor) -> Tensor:
        return torch.exp(x @ self.w)[:, None]


def test_cells_that_are_not_finite_have_a_status() -> None:
    module = seeded(Exponential)
    network, point = ModuleNetwork(module), point_of(module)
    data = Dataset("d", (torch.eye(2),), torch.zeros(2, 1))
    setting = Setting(network, Loss.named("mse"), 2, Precision.FLOAT64)
    line = Direction({"w": torch.tensor([1000.0, 1000.0])})
    nowhere = Direction({"w": torch.tensor([math.nan, 0.0])})
    results = []
    for x in (line, nowhere):
        placement = PlanePlacement(network, point, x, None, BufferPolicy.FROZEN, torch.float64, CPU)
        evaluator = ConvexityEvaluator(Objective(setting, point, data), placement)
        results += evaluator.evaluate([(0.0, None), (1.0, None)])
    assert [r.status for r in results] == ["ok", "posinf", "nan", "nan"]
    assert results[0].converged
    # L = ½ Σ e^{2w_i}, so the curvatures are 2 e^{2w_i}.
    assert results[0].largest == pytest.approx(2 * math.exp(4))
    assert results[0].smallest == pytest.approx(2 * math.exp(2))
    for bad in results[1:]:
        assert math.isnan(bad.smallest)
        assert math.isnan(bad.ratio)
        assert not bad.converged


def test_a_line_between_two_points_with_moving_buffers() -> None:
    end = Point(
        {n: t + 0.1 for n, t in CASE.origin.parameters.items()},
        {n: t + 0.5 if t.is_floating_point() else t for n, t in CASE.origin.buffers.items()},
    )
    placement = SegmentPlacement(
        CASE.network, CASE.origin, end, BufferPolicy.INTERPOLATE, torch.float64, CPU
    )
    evaluator = ConvexityEvaluator(objective(CASE), placement)
    got = evaluator.evaluate([(1.0, None), (-4.0, None)])
    exact = np.linalg.eigvalsh(dense_hessian(CASE, point=end).numpy())
    assert abs(got[0].largest - exact[-1]) <= 1e-3 * exact[-1]
    assert got[1].status == "invalid_buffer"
    assert got[1].products == 0


def test_the_eigenvalue_of_one_parameter_is_both_ends() -> None:
    module = nn.Linear(1, 1, bias=False)
    network, point = ModuleNetwork(module), point_of(module)
    data = Dataset("d", (torch.tensor([[1.0], [3.0]]),), torch.zeros(2, 1))
    x = Direction({"weight": torch.ones(1, 1)})
    placement = PlanePlacement(network, point, x, None, BufferPolicy.FROZEN, torch.float32, CPU)
    evaluator = ConvexityEvaluator(
        Objective(Setting(network, Loss.named("mse"), 2), point, data), placement
    )
    for cell in evaluator.evaluate([(0.0, None), (2.0, None)]):
        # L = ½ Σ (x_i w)², so its curvature is Σ x_i² wherever it is taken
        assert cell.largest == cell.smallest == pytest.approx(10)
        assert (cell.ratio, cell.converged, cell.products, cell.status) == (1.0, True, 1, "ok")


def test_a_plane_through_three_checkpoints() -> None:
    """Two directions `between` the first and the others: the three lie at (0,0), (1,0), (0,1)."""
    g = torch.Generator().manual_seed(3)
    first, second, third = (
        Point(
            {
                n: t + 0.1 * torch.randn(t.shape, generator=g)
                for n, t in CASE.origin.parameters.items()
            },
            CASE.origin.buffers,
        )
        for _ in range(3)
    )
    x, y = between(CASE.network, first, second), between(CASE.network, first, third)
    placement = PlanePlacement(CASE.network, first, x, y, BufferPolicy.FROZEN, torch.float64, CPU)
    evaluator = ConvexityEvaluator(objective(CASE), placement)
    got = evaluator.evaluate([(0.0, 0.0), (1.0, 0.0), (0.0, 1.0)])
    for cell, point in zip(got, (first, second, third), strict=True):
        exact = np.linalg.eigvalsh(dense_hessian(CASE, point=point).numpy())
        assert abs(cell.largest - exact[-1]) <= 1e-3 * exact[-1]
