"""Curvature as a child computes it, called directly: plans within a budget, tiles that do not
depend on who computes them, cells that have no value."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from service.domain.cells import CellStatus
from service.domain.problems import Problem
from service.domain.questions.table import job_spec
from service.domain.results import Tile
from tests.support.halves import Prepared, prepare, tile_of
from tests.support.module_network import ModuleNetwork, point_of, seeded
from workers.computation.context import JobContext
from workers.engine.datasets import Dataset
from workers.engine.errors import MemoryExceeded
from workers.engine.hessian import HessianForm
from workers.engine.losses import Loss
from workers.engine.network import Point
from workers.engine.placement import BufferPolicy
from workers.engine.precision import Precision
from workers.engine.product_memory import ProductPlan, plan_products
from workers.questions.curvature.computing import CurvatureEvaluator, build_curvature
from workers.questions.curvature.computing.convexity import MapCurvature
from workers.questions.curvature.messages import CurvatureTile

ID = "0" * 26
AMPLE = 1 << 30


def _dataset(name: str, samples: int) -> Dataset:
    generator = torch.Generator().manual_seed(samples)
    inputs = torch.randn(samples, 1, 4, 4, generator=generator)
    return Dataset(name, (inputs,), torch.arange(samples) % 3)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As a child has by default; more of them only get in each other's way here."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def context() -> JobContext:
    module = seeded(
        lambda: nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1),
            nn.BatchNorm2d(4),
            nn.Tanh(),
            nn.Flatten(),
            nn.Linear(64, 3),
        ),
        seed=4,
    )
    origin = point_of(module)
    return JobContext(
        job="job_1",
        network=ModuleNetwork(module),
        loss=Loss.named("cross_entropy"),
        precision=Precision.FLOAT64,
        buffers=BufferPolicy.FROZEN,
        device=torch.device("cpu"),
        origin=origin,
        points={"ckp_1": origin},
        # neither is a multiple of any batch
        datasets=(_dataset("train", 53), _dataset("test", 19)),
    )


def _asked(**changes: Any) -> dict[str, Any]:
    spec = {
        "kind": "curvature",
        "origin": f"ckp_{ID}",
        "datasets": [f"dst_{ID}"],
        "precision": "float64",
        **changes,
    }
    body: dict[str, Any] = job_spec().validate_python(spec).model_dump(mode="json")
    return body


def _map(**changes: Any) -> dict[str, Any]:
    axis = {"min": -1, "max": 1, "num": 3}
    random = {axis: {"kind": "random", "seed": 1} for axis in "xy"}
    return _asked(map={"directions": random, "grid": {"x": axis, "y": axis}}, **changes)


def _prepare(context: JobContext, asked: dict[str, Any], memory: int = AMPLE) -> Prepared:
    axes = ["x", "y"] if asked["map"] else [f"along{i}" for i in range(len(asked["along"]))]
    specs = {
        axis: {
            "kind": "random",
            "seed": 1,
            "normalize": "filter",
            "ignore": ["bias", "norm"],
            "axis": axis if axis in "xy" else "x",
        }
        for axis in axes
    }
    return prepare(
        context,
        {
            "directions": {axis: {"spec": spec, "object": None} for axis, spec in specs.items()},
            "orthogonalise": False,
            "part": {"asked": asked, "memory_bytes": memory},
        },
        kind="curvature",
    )


def _evaluator(
    context: JobContext, asked: dict[str, Any], prepared: Prepared, folder: Path
) -> CurvatureEvaluator:
    entries = {}
    for axis, data in prepared.objects.items():
        (folder / axis).write_bytes(data)
        entries[axis] = {"digest": axis, "path": str(folder / axis)}
    request = {
        "indices": [],
        "points": [],
        "part": {"asked": asked, "way": prepared.body["part"]},
        "batch_size": prepared.body["batch_size"],
        "directions": entries,
    }
    return build_curvature(context, tile_of(request, CurvatureTile))


def _tile(evaluator: CurvatureEvaluator, points: list[list[float]]) -> Tile:
    request = {"indices": list(range(len(points))), "points": points}
    return evaluator.tile(tile_of(request), lambda _done: None)


def test_a_budget_is_honoured_by_all_that_grows(context: JobContext) -> None:
    asked = _asked(density={"steps": 30, "probes": 6}, max_products=200, trace={})
    parameters = sum(p.numel() for p in context.origin.parameters.values())
    ample = _prepare(context, asked).body
    assert ample["part"]["max_products"] == 200
    assert ample["part"]["memory_bytes"] == AMPLE
    assert ample["part"]["probes_at_once"] == 6
    assert ample["part"]["retain"] or ample["part"]["form"] == "forward"
    memory = 2 * 100 * 8 * parameters
    tight = _prepare(context, asked, memory).body
    assert tight["part"]["max_products"] == 100
    assert tight["part"]["probes_at_once"] == 3
    assert tight["batch_size"] <= ample["batch_size"]
    with pytest.raises(Problem) as refused:
        _prepare(context, _asked(density={"steps": 150, "probes": 1}), memory)
    assert refused.value.code == "out_of_memory"
    assert refused.value.errors[0].pointer == "/density/steps"
    with pytest.raises(MemoryExceeded):
        _prepare(context, asked, 1000)


@pytest.mark.parametrize("asked", ["point", "blocks", "map"])
def test_a_plan_does_not_depend_on_the_clock(
    context: JobContext, monkeypatch: pytest.MonkeyPatch, asked: str
) -> None:
    """Nor on how busy the machine is, which is all that a clock that lies can show."""
    question = {
        "point": _asked(),
        "blocks": _asked(trace={}, layers=True, density={"steps": 9, "probes": 3}),
        "map": _map(),
    }[asked]
    plans = []
    for seed in range(3):
        rates = random.Random(seed)
        now = [0.0]

        def clock(rates: random.Random = rates, now: list[float] = now) -> float:
            now[0] += 10 ** rates.uniform(-6, 2)
            return now[0]

        monkeypatch.setattr("time.perf_counter", clock)
        body = _prepare(context, question).body
        plans.append({k: v for k, v in body.items() if k not in ("cell_seconds", "memory")})
    assert plans[0] == plans[1] == plans[2]


def test_a_form_whose_plan_fails_is_passed_over(
    context: JobContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    def preferred(_device: torch.device, _block: int) -> tuple[HessianForm, ...]:
        return (HessianForm.VMAPPED, HessianForm.FORWARD, HessianForm.SWEPT)

    def planned(*args: Any, form: HessianForm, **more: Any) -> ProductPlan:
        if form is HessianForm.VMAPPED:
            raise IndexError("what an operator may raise under vmap")
        return plan_products(*args, form=form, **more)

    monkeypatch.setattr("workers.questions.curvature.computing.products.preferred_forms", preferred)
    assert _prepare(context, _asked(trace={})).body["part"]["form"] == "vmapped"
    monkeypatch.setattr("workers.questions.curvature.computing.products.plan_products", planned)
    assert _prepare(context, _asked(trace={})).body["part"]["form"] == "forward"


def test_values_do_not_depend_on_the_budget(context: JobContext, tmp_path: Path) -> None:
    asked = _asked(density={"steps": 12, "probes": 4}, trace={}, layers=True)
    parameters = sum(p.numel() for p in context.origin.parameters.values())
    results = []
    for memory in (AMPLE, 2 * 40 * 8 * parameters):
        prepared = _prepare(context, asked, memory)
        results.append(_tile(_evaluator(context, asked, prepared, tmp_path), [[0.0, 0.0]]))
    first, second = (tile.attachments for tile in results)
    assert first.keys() == second.keys()
    for name in ("largest", "trace.value", "density.weights", "layers.largest", "gradient_norm"):
        got, wanted = second[f"curvature.{name}"], first[f"curvature.{name}"]
        assert np.allclose(got, wanted, rtol=1e-6, atol=1e-9), name


def test_products_are_told_of_as_they_are_spent(context: JobContext, tmp_path: Path) -> None:
    asked = _asked(trace={"samples": 16}, layers=True, density={"steps": 5, "probes": 2})
    prepared = _prepare(context, asked)
    seen: list[int] = []
    evaluator = _evaluator(context, asked, prepared, tmp_path)
    tile = evaluator.tile(tile_of({"indices": [0], "points": [[0.0, 0.0]]}), seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == int(tile.attachments["curvature.products"])
    assert seen[-1] <= prepared.body["part"]["steps"]
    assert len(seen) > 20


def test_a_point_has_its_losses_over_every_data_set(context: JobContext, tmp_path: Path) -> None:
    asked = _asked()
    tile = _tile(_evaluator(context, asked, _prepare(context, asked), tmp_path), [[0.0, 0.0]])
    assert [d.loss.shape for d in tile.datasets] == [(1,), (1,)]
    assert [d.status.tolist() for d in tile.datasets] == [[CellStatus.OK]] * 2
    assert Tile.from_npz(tile.to_npz()).attachments.keys() == tile.attachments.keys()


@pytest.mark.parametrize("exclude", [["bias"], ["norm"], ["bias", "norm"]])
def test_parameters_left_out(context: JobContext, tmp_path: Path, exclude: list[str]) -> None:
    asked = _asked(exclude=exclude)
    tile = _tile(_evaluator(context, asked, _prepare(context, asked), tmp_path), [[0.0, 0.0]])
    sizes = {"bias": 4 + 3, "norm": 4 + 4}
    whole = sum(p.numel() for p in context.origin.parameters.values())
    left = whole - sum(sizes[kind] for kind in exclude)
    assert int(tile.attachments["curvature.parameters"]) == left
    assert tile.attachments["curvature.excluded"].tolist() == sorted(exclude)


def test_a_map_has_the_same_bits_in_other_pieces(context: JobContext, tmp_path: Path) -> None:
    asked = _map()
    prepared = _prepare(context, asked)
    assert prepared.body["part"]["steps"] is None
    points = [[a, b] for b in (-1.0, 0.5) for a in (-0.5, 0.0, 1.0)]
    whole = _tile(_evaluator(context, asked, prepared, tmp_path), points)
    assert not whole.datasets[1].extra
    elsewhere = _evaluator(context, asked, prepared, tmp_path)
    for start in (4, 0, 2):
        part = _tile(elsewhere, points[start : start + 2])
        for name, values in whole.datasets[0].extra.items():
            assert values[start : start + 2].tobytes() == part.datasets[0].extra[name].tobytes()
        assert (
            part.datasets[0].loss.tobytes() == whole.datasets[0].loss[start : start + 2].tobytes()
        )


def test_cells_without_a_loss_keep_their_status(context: JobContext, tmp_path: Path) -> None:
    asked = _map()
    evaluator = _evaluator(context, asked, _prepare(context, asked), tmp_path)
    assert isinstance(evaluator, MapCurvature)
    tile = _tile(evaluator, [[0.0, 0.0], [1e200, 1e200], [1.0, 0.0]])
    first = tile.datasets[0]
    assert first.status[0] == first.status[2] == CellStatus.OK
    for name in ("lambda_max", "lambda_min", "ratio"):
        assert np.isfinite(first.extra[name][[0, 2]]).all()
    if first.status[1] != CellStatus.OK:
        assert np.isnan(first.extra["lambda_max"][1])


def test_a_point_without_a_loss_fails_in_words(context: JobContext, tmp_path: Path) -> None:
    asked = _asked()
    prepared = _prepare(context, asked)
    broken = {name: torch.full_like(p, torch.nan) for name, p in context.origin.parameters.items()}
    sick = replace(context, origin=Point(broken, context.origin.buffers))
    with pytest.raises(Problem, match="is nan, so it has no curvature there"):
        _tile(_evaluator(sick, asked, prepared, tmp_path), [[0.0, 0.0]])
