"""What a child computes, called directly: plans that do not depend on the machine's mood, and
tiles that have the same bits wherever and in whatever pieces they are computed."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from service.domain.cells import CellStatus
from service.domain.problems import Problem
from service.domain.results import Tile
from tests.support.halves import Prepared, evaluate_tile, prepare
from tests.support.module_network import ModuleNetwork
from workers.computation.context import JobContext
from workers.computation.directions import make_direction, read_direction
from workers.computation.evaluators import Space, build_evaluator
from workers.computation.failures import judge
from workers.engine.datasets import Dataset
from workers.engine.direction import inner, norm
from workers.engine.errors import (
    MemoryExceeded,
    ParametersInvalid,
    PrecisionUnavailable,
    TargetsInvalid,
)
from workers.engine.losses import Loss
from workers.engine.network import Point
from workers.engine.placement import BufferPolicy
from workers.engine.precision import Precision

_RANDOM = {
    "kind": "random",
    "seed": 7,
    "normalize": "filter",
    "ignore": ["bias", "norm"],
    "convention": "lossatlas",
    "axis": None,
}


def _module() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)
    )


def _point(module: nn.Module, seed: int) -> Point:
    generator = torch.Generator().manual_seed(seed)
    parameters = {
        name: torch.randn(p.shape, generator=generator) for name, p in module.named_parameters()
    }
    buffers = {
        name: torch.rand(b.shape, generator=generator) + 0.5 if b.is_floating_point() else b.clone()
        for name, b in module.named_buffers()
    }
    return Point(parameters, buffers)


def _dataset(name: str, samples: int, *, classes: int = 3) -> Dataset:
    generator = torch.Generator().manual_seed(samples)
    inputs = torch.randn(samples, 1, 4, 4, generator=generator)
    return Dataset(name, (inputs,), torch.randint(0, classes, (samples,), generator=generator))


@pytest.fixture
def context() -> JobContext:
    module = _module()
    origin, target = _point(module, 1), _point(module, 2)
    return JobContext(
        job="job_1",
        network=ModuleNetwork(module),
        loss=Loss.named("cross_entropy"),
        precision=Precision.FLOAT32,
        buffers=BufferPolicy.FROZEN,
        device=torch.device("cpu"),
        origin=origin,
        points={"ckp_1": origin, "ckp_2": target},
        datasets=(_dataset("train", 50), _dataset("test", 23)),
    )


def _surface_request(**more: Any) -> dict[str, Any]:
    directions = {axis: {"spec": _RANDOM, "object": None} for axis in ("x", "y")}
    return {"directions": directions, "orthogonalise": False, **more}


def _tile(prepared: Prepared, points: list[list[float]]) -> Tile:
    request = {"indices": list(range(len(points))), "points": points}
    return evaluate_tile(prepared.evaluator, prepared.space, request, lambda _cells: None)


def test_preparing_twice_gives_the_same_plan_and_the_same_bytes(context: JobContext) -> None:
    first, second = prepare(context, _surface_request()), prepare(context, _surface_request())
    assert first.objects == second.objects
    assert first.space == second.space

    def lasting(body: Mapping[str, Any]) -> dict[str, Any]:
        return {k: v for k, v in body.items() if k not in ("cell_seconds", "memory")}

    assert lasting(first.body) == lasting(second.body)
    assert first.body["cell_seconds"] > 0


def test_values_are_the_same_in_both_memory_formats_but_for_rounding(context: JobContext) -> None:
    points = [[0.0, 0.0], [0.5, -0.5], [1.0, 1.0]]
    prepared = prepare(context, _surface_request())
    directions = {
        axis: make_direction(context, axis, _RANDOM, None, origin=context.origin).direction
        for axis in ("x", "y")
    }
    losses = []
    for channels_last in (True, False):
        space = replace(prepared.space, channels_last=channels_last)
        evaluator = build_evaluator(context, space, directions)
        request = {"indices": [0, 1, 2], "points": points}
        tile = evaluate_tile(evaluator, space, request, lambda _cells: None)
        losses.append(tile.datasets[0].loss)
    assert np.allclose(losses[0], losses[1], rtol=1e-6, atol=0)


@pytest.mark.parametrize("precision", [Precision.FLOAT32, Precision.BF16])
def test_a_plan_and_its_values_do_not_depend_on_the_clock_or_the_process(
    context: JobContext, monkeypatch: pytest.MonkeyPatch, precision: Precision
) -> None:
    """Nor on what the process held before, under a limit of its memory."""
    points = [[0.0, 0.0], [0.3, -0.4], [0.5, 0.5], [1.0, 1.0]]
    large = replace(context, precision=precision, datasets=(_dataset("train", 600),))
    bodies, tiles = [], []
    for seed in range(3):
        rates, now = random.Random(seed), [0.0]

        def clock(rates: random.Random = rates, now: list[float] = now) -> float:
            now[0] += 10 ** rates.uniform(-6, 2)
            return now[0]

        monkeypatch.setattr("time.perf_counter", clock)
        job = replace(large, base_bytes=rates.randrange(1 << 30))
        prepared = prepare(job, _surface_request(compared=points, memory_bytes=768 << 20))
        bodies.append(
            {k: v for k, v in prepared.body.items() if k not in ("cell_seconds", "memory")}
        )
        tiles.append(_tile(prepared, points).datasets[0].loss.tobytes())
    assert bodies[0] == bodies[1] == bodies[2]
    assert tiles[0] == tiles[1] == tiles[2]


def test_a_reduced_precision_says_how_far_it_lies_from_float32(context: JobContext) -> None:
    points = [[0.0, 0.0], [-1.0, 0.5]]
    narrow = prepare(replace(context, precision=Precision.BF16), _surface_request(compared=points))
    error = narrow.body["precision_error"]
    full = prepare(context, _surface_request(compared=points))
    assert full.body["precision_error"] is None
    ours, truth = _tile(narrow, points), _tile(full, points)
    relative = [
        abs(a - b) / b
        for mine, theirs in zip(ours.datasets, truth.datasets, strict=True)
        for a, b in zip(mine.loss.tolist(), theirs.loss.tolist(), strict=True)
    ]
    assert error["against"] == "float32"
    assert (error["cells"], error["samples"], error["changed_status"]) == (2, [50, 23], 0)
    assert error["largest_relative_loss"] == pytest.approx(max(relative), rel=1e-3)
    assert 1e-6 < error["largest_relative_loss"] < 0.05
    assert error["mean_relative_loss"] <= error["largest_relative_loss"]


def test_tf32_is_refused_where_there_is_none(context: JobContext) -> None:
    with pytest.raises(PrecisionUnavailable, match="CUDA devices only"):
        prepare(replace(context, precision=Precision.TF32), _surface_request())


def test_memory_is_estimated_and_measured(context: JobContext) -> None:
    memory = prepare(context, _surface_request()).body["memory"]
    assert memory["measured_bytes"] > 50 << 20
    assert memory["estimated_bytes"] > 0
    assert memory["halvings"] == 0


def test_one_seed_gives_different_directions_on_the_two_axes(context: JobContext) -> None:
    prepared = prepare(context, _surface_request())
    assert prepared.objects["x"] != prepared.objects["y"]
    assert abs(prepared.body["cosine"]) < 0.5


def test_a_saved_stream_is_itself_on_either_axis(context: JobContext) -> None:
    spec = {**_RANDOM, "axis": "x"}
    on_x = make_direction(context, "x", spec, None).direction
    on_y = make_direction(context, "y", spec, None).direction
    assert all(torch.equal(on_x.parameters[n], on_y.parameters[n]) for n in on_x.parameters)


def test_orthogonal_directions_are_the_jobs_own(context: JobContext) -> None:
    plain = prepare(context, _surface_request())
    prepared = prepare(context, _surface_request(orthogonalise=True))
    assert prepared.body["own"] == ["y"]
    assert prepared.body["orthogonalised"] is True
    assert abs(prepared.body["cosine"]) < 1e-6
    assert prepared.objects["x"] == plain.objects["x"]
    assert prepared.objects["y"] != plain.objects["y"]


def test_tiles_have_the_same_bits_in_another_process_and_in_other_pieces(
    context: JobContext, tmp_path: Path
) -> None:
    prepared = prepare(context, _surface_request())
    points = [[a, b] for b in (-1.0, 0.0, 0.5) for a in (-0.5, 0.0, 1.0)]
    whole = _tile(prepared, points)
    directions = {}
    for axis, data in prepared.objects.items():
        path = tmp_path / axis
        path.write_bytes(data)
        directions[axis] = read_direction(context, path)
    elsewhere = build_evaluator(context, prepared.space, directions)
    for start in range(0, len(points), 2):
        request = {
            "indices": list(range(start, min(start + 2, len(points)))),
            "points": points[start : start + 2],
        }
        part = evaluate_tile(elsewhere, prepared.space, request, lambda _cells: None)
        for mine, theirs in zip(whole.datasets, part.datasets, strict=True):
            assert mine.accuracy is not None
            assert theirs.accuracy is not None
            for a, b in (
                (mine.loss, theirs.loss),
                (mine.stderr, theirs.stderr),
                (mine.accuracy, theirs.accuracy),
            ):
                assert a[start : start + 2].tobytes() == b.tobytes()


def test_progress_counts_cells(context: JobContext) -> None:
    prepared = prepare(context, _surface_request())
    seen: list[int] = []
    request = {"indices": [4, 5, 6], "points": [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]}
    tile = evaluate_tile(prepared.evaluator, prepared.space, request, seen.append)
    assert seen == [1, 2, 3]
    assert tile.index.tolist() == [4, 5, 6]


def test_a_line_is_computed_from_its_two_ends(context: JobContext) -> None:
    spec = {"kind": "between", "target": "ckp_2", "normalize": "none", "ignore": []}
    prepared = prepare(
        context,
        {
            "directions": {"x": {"spec": spec, "object": None}},
            "orthogonalise": False,
            "part": {"target": "ckp_2"},
        },
        kind="interpolation",
    )
    assert prepared.body["cosine"] is None
    ends = _tile(prepared, [[0.0, 0.0], [1.0, 0.0]])
    at_target = JobContext(**{**vars(context), "origin": context.points["ckp_2"]})
    # frozen buffers are the origin's, so put the origin's under the target's parameters
    mixed = Point(context.points["ckp_2"].parameters, context.origin.buffers)
    at_target = JobContext(**{**vars(context), "origin": mixed})
    alone = _tile(prepare(at_target, _surface_request()), [[0.0, 0.0]])
    assert ends.datasets[0].loss[1] == alone.datasets[0].loss[0]
    distance = math.sqrt(
        sum(
            float(((p - context.origin.parameters[n]).double() ** 2).sum())
            for n, p in context.points["ckp_2"].parameters.items()
        )
    )
    assert prepared.body["norms"]["x"] == pytest.approx(distance, rel=1e-6)


def test_uploaded_directions_are_used_as_they_are(context: JobContext, tmp_path: Path) -> None:
    given = {f"x.{n}": torch.randn_like(p) for n, p in context.origin.parameters.items()}
    given |= {f"y.{n}": torch.randn_like(p) for n, p in context.origin.parameters.items()}
    path = tmp_path / "directions"
    safetensors.torch.save_file(given, path)
    spec = {"kind": "uploaded", "object": "…", "prefix": "y.", "normalize": "none", "ignore": []}
    direction = make_direction(context, "x", spec, path).direction
    for name, tensor in direction.parameters.items():
        assert torch.equal(tensor, given[f"y.{name}"])
    missing = {**spec, "prefix": "z."}
    with pytest.raises(ValueError, match="lacks"):
        make_direction(context, "x", missing, path)


def test_a_materialised_direction_is_reused_bit_for_bit(
    context: JobContext, tmp_path: Path
) -> None:
    made = prepare(context, _surface_request()).objects["x"]
    path = tmp_path / "x"
    path.write_bytes(made)
    request = _surface_request()
    request["directions"]["x"] = {"materialised": str(path)}
    assert prepare(context, request).objects["x"] == made


def test_infinite_losses_are_data(context: JobContext) -> None:
    prepared = prepare(context, _surface_request())
    tile = _tile(prepared, [[1e30, 0.0], [1e38, 1e38], [0.0, 0.0]])
    status = tile.datasets[0].status
    assert status[2] == CellStatus.OK
    assert status[1] in (CellStatus.NAN, CellStatus.POSINF)
    assert np.isfinite(tile.datasets[0].loss[2])


def test_geometry_agrees_with_the_tensors(context: JobContext) -> None:
    prepared = prepare(context, _surface_request())
    x = make_direction(context, "x", _RANDOM, None).direction
    y = make_direction(context, "y", _RANDOM, None).direction
    assert prepared.body["norms"]["x"] == norm(x)
    assert prepared.body["cosine"] == pytest.approx(inner(x, y) / (norm(x) * norm(y)))


def test_targets_out_of_range_are_found_before_any_tile(context: JobContext) -> None:
    wrong = JobContext(**{**vars(context), "datasets": (_dataset("train", 50, classes=9),)})
    with pytest.raises(TargetsInvalid, match="must lie between 0 and 2"):
        prepare(wrong, _surface_request())


def test_a_space_differs_when_anything_that_moves_a_bit_does() -> None:
    space = Space(None, (("x", "sha256:1"),), 64)
    assert space == Space(None, (("x", "sha256:1"),), 64)
    assert space != Space(None, (("x", "sha256:2"),), 64)
    assert space != Space(None, (("x", "sha256:1"),), 32)


@pytest.mark.parametrize(
    ("error", "code", "retry", "broken"),
    [
        (TargetsInvalid("targets lie between 0 and 9"), "targets_invalid", False, False),
        (ParametersInvalid("no parameter given for 'w'"), "weights_invalid", False, False),
        (MemoryExceeded("too much", batch_size=4), "out_of_memory", True, True),
        (MemoryError(), "out_of_memory", True, True),
        (RuntimeError("CUDA error: an illegal access"), "computation_failed", True, True),
        (RuntimeError("shapes differ"), "computation_failed", False, False),
        (Problem("dataset_invalid", "no such tensor"), "dataset_invalid", False, False),
        (FileNotFoundError("gone"), "internal_error", True, False),
    ],
)
def test_failures_are_judged(error: Exception, code: str, retry: bool, broken: bool) -> None:
    failure = judge(error)
    assert (failure.problem.code, failure.retry, failure.broken) == (code, retry, broken)
    assert failure.problem.detail


def test_failures_tell_no_folders_of_this_machine() -> None:
    error = ImportError("cannot import 'x' from 'workers.y' (/srv/lossatlas/workers/y.py)")
    assert judge(error).problem.detail == ("ImportError: cannot import 'x' from 'workers.y' (y.py)")
    assert "a/b" in judge(ValueError("a/b is no number")).problem.detail
