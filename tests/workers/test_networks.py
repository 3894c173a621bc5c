"""Which networks on a line or plane are evaluated themselves, and that their values are theirs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from service.domain.results import Tile
from tests.support import halves
from tests.support.halves import Prepared, evaluate_tile
from tests.support.module_network import ModuleNetwork
from workers.computation.context import JobContext
from workers.computation.directions import read_direction
from workers.computation.evaluators import build_evaluator
from workers.engine.datasets import Dataset
from workers.engine.losses import Loss
from workers.engine.network import Point
from workers.engine.placement import BufferPolicy
from workers.engine.precision import Precision

Body = dict[str, Any]
HERE, THERE, BESIDE = (f"ckp_{seed:026d}" for seed in (1, 2, 3))
IDS = {1: HERE, 2: THERE, 3: BESIDE}


def prepare(context: JobContext, body: Body) -> Prepared:
    return halves.prepare(context, body, "interpolation" if "part" in body else "surface")


def _module(*, norm: bool = True) -> nn.Module:
    middle = nn.BatchNorm2d(4) if norm else nn.GroupNorm(2, 4)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), middle, nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)
    )


def _point(module: nn.Module, seed: int) -> Point:
    generator = torch.Generator().manual_seed(seed)
    parameters = {
        name: 0.3 * torch.randn(p.shape, generator=generator)
        for name, p in module.named_parameters()
    }
    buffers = {
        name: torch.rand(b.shape, generator=generator) + 0.2
        if b.is_floating_point()
        else torch.tensor(seed)
        for name, b in module.named_buffers()
    }
    return Point(parameters, buffers)


def _context(
    policy: BufferPolicy = BufferPolicy.FROZEN,
    *,
    norm: bool = True,
    precision: Precision = Precision.FLOAT32,
    at: str = HERE,
) -> JobContext:
    module = _module(norm=norm)
    points = {IDS[seed]: _point(module, seed) for seed in (1, 2, 3)}
    sets = []
    for name, samples in (("train", 37), ("test", 23)):
        generator = torch.Generator().manual_seed(samples)
        inputs = torch.randn(samples, 1, 4, 4, generator=generator)
        targets = torch.randint(0, 3, (samples,), generator=generator)
        sets.append(Dataset(name, (inputs,), targets))
    return JobContext(
        job="job_1",
        network=ModuleNetwork(module),
        loss=Loss.named("cross_entropy"),
        precision=precision,
        buffers=policy,
        device=torch.device("cpu"),
        origin=points[at],
        points=points,
        datasets=tuple(sets),
    )


def _between(target: str) -> Body:
    spec = {"kind": "between", "target": target, "normalize": "none", "ignore": []}
    return {"spec": spec, "object": None}


def _segment() -> Body:
    return {
        "directions": {"x": _between(THERE)},
        "orthogonalise": False,
        "part": {"target": THERE},
        "networks": [
            {"role": "origin", "checkpoint": HERE},
            {"role": "target", "checkpoint": THERE},
        ],
    }


def _plane(*, orthogonalise: bool = False) -> Body:
    return {
        "directions": {"x": _between(THERE), "y": _between(BESIDE)},
        "orthogonalise": orthogonalise,
        "networks": [
            {"role": "origin", "checkpoint": HERE},
            {"role": "x", "checkpoint": THERE, "axis": "x"},
            {"role": "y", "checkpoint": BESIDE, "axis": "y"},
        ],
    }


def _tile(context: JobContext, prepared: Prepared, body: Body) -> Tile:
    return evaluate_tile(
        prepared.evaluator, prepared.space, body, lambda _done: None, context.points.__getitem__
    )


def _itself(context: JobContext, identity: str) -> np.ndarray[Any, Any]:
    """Losses at the middle of a plane about this very checkpoint, one a data set."""
    alone = replace(context, origin=context.points[identity], buffers=BufferPolicy.FROZEN)
    body = {k: v for k, v in _plane().items() if k != "networks"}
    body["directions"] = {
        axis: {
            "spec": {"kind": "random", "seed": 1, "normalize": "none", "ignore": [], "axis": axis},
            "object": None,
        }
        for axis in "xy"
    }
    prepared = prepare(alone, body)
    tile = _tile(alone, prepared, {"indices": [0], "points": [[0.0, 0.0]]})
    return np.array([d.loss[0] for d in tile.datasets])


@pytest.mark.parametrize("precision", [Precision.FLOAT32, Precision.FLOAT64, Precision.BF16])
def test_a_frozen_line_does_not_show_its_target(precision: Precision) -> None:
    context = _context(precision=precision)
    prepared = prepare(context, _segment())
    origin, target = prepared.body["networks"]
    assert origin == {"role": "origin", "checkpoint": HERE, "at": [0.0, 0.0], "itself": False}
    assert target == {"role": "target", "checkpoint": THERE, "at": [1.0, 0.0], "itself": True}
    body = {
        "indices": [0, 1, 2],
        "points": [[1.0, 0.0], [1.0, 0.0], [0.0, 0.0]],
        "checkpoints": [THERE, None, None],
    }
    tile = _tile(context, prepared, body)
    for dataset, truth, start in zip(
        tile.datasets, _itself(context, THERE), _itself(context, HERE), strict=True
    ):
        own, shown, first = dataset.loss
        assert own == truth
        assert first == start
        assert abs(shown / own - 1) > 0.01


@pytest.mark.parametrize("body", [_segment(), _plane(), _plane(orthogonalise=True)])
@pytest.mark.parametrize("policy", list(BufferPolicy)[:2])
def test_networks_without_running_statistics_cost_nothing(policy: BufferPolicy, body: Body) -> None:
    prepared = prepare(_context(policy, norm=False), body)
    assert prepared.body["networks"] == []


def test_moving_statistics_reach_every_network_by_themselves() -> None:
    for body in (_segment(), _plane()):
        assert prepare(_context(BufferPolicy.INTERPOLATE), body).body["networks"] == []


def test_equal_statistics_are_no_difference_whatever_was_counted() -> None:
    context = _context()
    theirs, mine = context.points[THERE], context.origin
    same = {
        name: t if name.endswith("num_batches_tracked") else mine.buffers[name]
        for name, t in theirs.buffers.items()
    }
    points = {**context.points, THERE: Point(theirs.parameters, same)}
    assert prepare(replace(context, points=points), _segment()).body["networks"] == []


@pytest.mark.parametrize("orthogonalise", [False, True])
def test_a_network_lies_where_its_weights_are(orthogonalise: bool, tmp_path: Path) -> None:
    context = _context(precision=Precision.FLOAT64)
    prepared = prepare(context, _plane(orthogonalise=orthogonalise))
    networks = prepared.body["networks"]
    assert [network["itself"] for network in networks] == [False, True, True]
    axes = {}
    for axis, data in prepared.objects.items():
        (tmp_path / axis).write_bytes(data)
        axes[axis] = read_direction(context, tmp_path / axis)
    for network in networks:
        a, b = network["at"]
        wanted = context.points[network["checkpoint"]].parameters
        for name, start in context.origin.parameters.items():
            x, y = axes["x"].parameters[name].double(), axes["y"].parameters[name].double()
            assert torch.allclose(start + a * x + b * y, wanted[name].double(), atol=1e-6)
    assert (networks[2]["at"][0] != 0) is orthogonalise


def test_orthogonal_directions_leave_statistics_behind() -> None:
    networks = prepare(_context(BufferPolicy.INTERPOLATE), _plane(orthogonalise=True)).body[
        "networks"
    ]
    # y keeps its own buffers while it loses its share along x
    assert [network["itself"] for network in networks] == [False, False, True]


def test_another_process_in_other_pieces_gives_the_same_bits(tmp_path: Path) -> None:
    context = _context()
    prepared = prepare(context, _plane())
    body: Body = {
        "indices": list(range(6)),
        "points": [[1.0, 0.0], [0.0, 1.0], [0.5, 0.5], [1.0, 0.0], [0.0, 1.0], [0.0, 0.0]],
        "checkpoints": [None, None, None, THERE, BESIDE, None],
    }
    whole = _tile(context, prepared, body)
    assert whole.datasets[0].loss[3] == _itself(context, THERE)[0]
    assert whole.datasets[0].loss[4] == _itself(context, BESIDE)[0]
    directions = {}
    for axis, data in prepared.objects.items():
        (tmp_path / axis).write_bytes(data)
        directions[axis] = read_direction(context, tmp_path / axis)
    elsewhere = build_evaluator(context, prepared.space, directions)
    for start in range(0, 6, 2):
        piece = {key: values[start : start + 2] for key, values in body.items()}
        part = evaluate_tile(
            elsewhere, prepared.space, piece, lambda _done: None, context.points.__getitem__
        )
        for mine, theirs in zip(whole.datasets, part.datasets, strict=True):
            assert mine.loss[start : start + 2].tobytes() == theirs.loss.tobytes()
