"""Faults of the code published with Li et al. (2018), one test each: ours must not have them.

Those of its curvature (eigenvalues multiplied by the number of batches, ragged batches unweighted,
λ_min off and different from run to run, the shift trick) are in
`tests/engine/test_reference_curvature_faults.py`.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from service.domain.cells import CellStatus
from service.domain.grids import Axis, Grid
from service.domain.plan import PLANE_ANCHORS, JobPlan
from service.domain.questions.line.spec import LineJob
from service.domain.questions.spec import BufferPolicy, Precision
from service.domain.questions.table import job_spec
from service.domain.results import DatasetTile, Tile, assemble
from tests.engine.loaded import LoadedCheckpoints
from tests.support.module_network import ModuleNetwork, point_of, seeded
from workers.engine import placement
from workers.engine.datasets import Dataset
from workers.engine.direction import Direction
from workers.engine.directions import between, random_direction
from workers.engine.evaluation import Setting
from workers.engine.losses import Loss
from workers.engine.network import Point
from workers.engine.normalisation import Rule, normalise
from workers.engine.surface import plane_evaluator
from workers.engine.trajectory import project

CROSS_ENTROPY = Loss.named("cross_entropy")


def _module() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Linear(6, 3))


def _data(samples: int = 40) -> Dataset:
    generator = torch.Generator().manual_seed(samples)
    inputs = torch.randn(samples, 4, generator=generator)
    return Dataset("data", (inputs,), torch.randint(0, 3, (samples,), generator=generator))


def _plan(x: Axis, y: Axis) -> JobPlan:
    return JobPlan(
        x=tuple(x.points().tolist()),
        y=tuple(y.points().tolist()),
        anchors=PLANE_ANCHORS,
        directions=(),
        cosine=None,
        orthogonalised=False,
        precision=Precision.FLOAT32,
        buffers=BufferPolicy.FROZEN,
        batch_size=16,
        threads=1,
        cell_seconds=0.1,
        tile_cells=4,
        device="cpu",
    )


def _loss_at(module: nn.Module, point: Point, data: Dataset) -> float:
    network = ModuleNetwork(module)
    with torch.no_grad():
        outputs = network(point.parameters, point.buffers, *data.inputs)
    return float(F.cross_entropy(outputs.double(), data.targets))


def test_non_square_grids_scrambled() -> None:
    """Every cell of a 5×3 grid holds the loss at its own coordinates, whatever the tiles."""
    module, data = seeded(_module), _data()
    network, origin = ModuleNetwork(module), point_of(module)
    x, y = (random_direction(network, 1, axis) for axis in "xy")
    evaluator = plane_evaluator(Setting(network, CROSS_ENTROPY, 16), origin, x, y, [data])
    plan = _plan(Axis(min=-1, max=1, num=5), Axis(min=-0.5, max=0.25, num=3))
    tiles = []
    for start in range(0, plan.evaluations, 4):
        index = plan.order()[start : start + 4]
        results = evaluator.evaluate([(a, b) for a, b in plan.coordinates()[index].tolist()])
        loss = np.array([r.datasets[0].loss for r in results])
        tiles.append(
            Tile(index, (DatasetTile(loss, loss, None, np.zeros(len(index), dtype=np.int8)),))
        )
    grid = assemble(plan, ["data"], [40], tiles[::-1]).datasets[0]
    assert grid.loss.shape == (3, 5)
    for iy, beta in enumerate(plan.y or ()):
        for ix, alpha in enumerate(plan.x):
            moved = {
                n: (p.double() + alpha * x.parameters[n] + beta * y.parameters[n]).float()
                for n, p in origin.parameters.items()
            }
            expected = _loss_at(module, Point(moved, origin.buffers), data)
            assert grid.loss[iy, ix] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("low", "high"), [(-1.0, 0.0), (0.0, 1.0), (-3.0, -1.0)])
def test_a_range_ending_at_0_refused(low: float, high: float) -> None:
    grid = Grid(x=Axis(min=low, max=high, num=5), y=Axis(min=low, max=high, num=2))
    assert grid.x.points()[-1] == high
    assert grid.x.points()[0] == low


def test_the_seed_fixed_so_that_repeats_are_identical() -> None:
    network = ModuleNetwork(seeded(_module))
    made = [random_direction(network, seed, "x") for seed in (1, 2, 3)]
    weights = [d.parameters["0.weight"] for d in made]
    assert not any(torch.equal(weights[i], weights[j]) for i in range(3) for j in range(i))
    again = random_direction(network, 2, "x").parameters["0.weight"]
    assert torch.equal(again, weights[1])
    job = job_spec().validate_python(
        {
            "kind": "line",
            "origin": "ckp_" + "0" * 26,
            "direction": {"kind": "random", "seed": 1},
            "repeats": 3,
            "datasets": ["dst_" + "0" * 26],
        }
    )
    assert isinstance(job, LineJob)


def test_trajectory_coordinates_mis_scaled_on_non_unit_directions() -> None:
    """Coordinates are α and β themselves: θ_n + αx + βy, however long the axes are."""
    module = seeded(_module)
    network, origin = ModuleNetwork(module), point_of(module)
    x, y = (normalise(random_direction(network, 3, axis), origin, network, Rule()) for axis in "xy")
    wanted = [(0.5, -2.0), (3.0, 0.25)]
    path = [
        {
            n: p.double() + a * x.parameters[n] + b * y.parameters[n]
            for n, p in origin.parameters.items()
        }
        for a, b in [*wanted, (0.0, 0.0)]
    ]
    found = project(network, LoadedCheckpoints(path), x, y)
    assert found.coordinates[:-1] == pytest.approx(np.array(wanted), abs=1e-4)
    assert found.coordinates[-1] == pytest.approx([0.0, 0.0], abs=1e-12)


def test_states_trajectories_crash() -> None:
    """Running statistics and their whole-number counters along a direction between checkpoints."""
    module, other, data = seeded(_module, 1), seeded(_module, 2), _data()
    network, origin, target = ModuleNetwork(module), point_of(module), point_of(other)
    assert any(not b.is_floating_point() for b in origin.buffers.values())
    direction = between(network, origin, target)
    policy = placement.BufferPolicy.INTERPOLATE
    evaluator = plane_evaluator(
        Setting(network, CROSS_ENTROPY, 16), origin, direction, None, [data], policy
    )
    results = evaluator.evaluate([(0.0, None), (0.5, None), (1.0, None)])
    assert [r.datasets[0].status for r in results] == ["ok"] * 3
    for result, point in ((results[0], origin), (results[-1], target)):
        assert result.datasets[0].loss == pytest.approx(_loss_at(module, point, data), rel=1e-5)


def _tile(plan: JobPlan, start: int, stop: int, value: float, status: CellStatus) -> Tile:
    index = plan.order()[start:stop]
    loss = np.full(len(index), value)
    codes = np.full(len(index), status, dtype=np.int8)
    return Tile(index, (DatasetTile(loss, 0 * loss, None, codes),))


def test_nan_cells_taken_as_done() -> None:
    """NaN is a status of its own: never a value, and never the mark of what is still to come."""
    plan = _plan(Axis(min=-1, max=1, num=3), Axis(min=-1, max=1, num=3))
    result = assemble(plan, ["data"], [1], [_tile(plan, 0, 4, math.nan, CellStatus.NAN)])
    codes = result.datasets[0].status.ravel()
    assert (codes == CellStatus.NAN).sum() == 4
    assert (codes == CellStatus.PENDING).sum() == 5
    module, data = seeded(_module), _data()
    network, origin = ModuleNetwork(module), point_of(module)
    spoilt = {n: torch.full_like(p, torch.nan) for n, p in origin.parameters.items()}
    flat = Direction({n: torch.zeros_like(p) for n, p in origin.parameters.items()})
    evaluator = plane_evaluator(
        Setting(network, CROSS_ENTROPY, 16), Point(spoilt, origin.buffers), flat, None, [data]
    )
    assert evaluator.evaluate([(0.0, None)])[0].datasets[0].status == "nan"


def test_cells_of_loss_exactly_0_recomputed_for_ever() -> None:
    """What is done is known by its status and its tile, whatever the value: 0 and −1 are losses."""
    plan = _plan(Axis(min=-1, max=1, num=3), Axis(min=-1, max=1, num=3))
    tiles = [
        _tile(plan, 0, 4, 0.0, CellStatus.OK),
        _tile(plan, 4, 9, -1.0, CellStatus.OK),
    ]
    result = assemble(plan, ["data"], [1], tiles)
    assert not result.status.any()
    assert sorted(set(result.datasets[0].loss.ravel().tolist())) == [-1.0, 0.0]
    network = ModuleNetwork(nn.Linear(2, 2))
    zero = Point({n: torch.zeros(s.shape) for n, s in network.parameters.items()}, {})
    data = Dataset("zeros", (torch.ones(5, 2),), torch.zeros(5, 2))
    flat = Direction({n: torch.zeros(s.shape) for n, s in network.parameters.items()})
    setting = Setting(network, Loss.named("mse"), 2)
    (measured,) = plane_evaluator(setting, zero, flat, None, [data]).evaluate([(0.0, None)])
    assert (measured.datasets[0].status, measured.datasets[0].loss) == ("ok", 0.0)


@pytest.mark.parametrize("outputs", [1, 3, 10, 17])
def test_mse_hard_wired_to_10_classes(outputs: int) -> None:
    module = seeded(lambda: nn.Linear(4, outputs))
    network, origin = ModuleNetwork(module), point_of(module)
    generator = torch.Generator().manual_seed(outputs)
    data = Dataset(
        "data",
        (torch.randn(23, 4, generator=generator),),
        torch.randn(23, outputs, generator=generator),
    )
    flat = Direction({n: torch.zeros_like(p) for n, p in origin.parameters.items()})
    setting = Setting(network, Loss.named("mse"), 10)
    (measured,) = plane_evaluator(setting, origin, flat, None, [data]).evaluate([(0.0, None)])
    with torch.no_grad():
        expected = float(F.mse_loss(module(data.inputs[0]).double(), data.targets.double()))
    assert measured.datasets[0].loss == pytest.approx(expected, rel=1e-6)
