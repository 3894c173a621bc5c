"""A trajectory in the child: the plane from files, cells and checkpoints with the same bits in any
process and any pieces, buffers where they belong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from service.domain.results import Tile
from tests.support.halves import Prepared, evaluate_tile, prepare
from tests.support.module_network import ModuleNetwork
from workers.computation.context import JobContext, checkpoint
from workers.computation.directions import read_direction
from workers.computation.evaluators import build_evaluator
from workers.engine.datasets import Dataset
from workers.engine.errors import InputInvalid, ParametersInvalid
from workers.engine.losses import Loss
from workers.engine.network import Point
from workers.engine.placement import BufferPolicy
from workers.engine.precision import Precision

ROWS = 5


def _module() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)
    )


def _checkpoint(row: int) -> dict[str, torch.Tensor]:
    """A path that bends, running statistics moving along with it."""
    generator = torch.Generator().manual_seed(1)
    moved = torch.Generator().manual_seed(10 + row)
    tensors = {}
    for name, tensor in _module().state_dict().items():
        if not tensor.is_floating_point():
            tensors[name] = torch.tensor(row)
            continue
        start = torch.rand(tensor.shape, generator=generator) + 0.5
        way = torch.randn(tensor.shape, generator=generator)
        noise = torch.rand(tensor.shape, generator=moved)
        still = ROWS - 1 - row
        tensors[name] = (start + 0.05 * still * way.abs() + 0.02 * still * noise).contiguous()
    return tensors


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    paths = []
    for row in range(ROWS):
        paths.append(str(tmp_path / f"{row}.safetensors"))
        safetensors.torch.save_file(_checkpoint(row), paths[-1])
    return paths


def _context(buffers: BufferPolicy = BufferPolicy.FROZEN, row: int = ROWS - 1) -> JobContext:
    """What a child holds of a trajectory's job: the origin and the data, no other checkpoint."""
    module = _module()
    tensors = _checkpoint(row)
    named = dict(module.named_parameters())
    origin = Point(
        {n: t for n, t in tensors.items() if n in named},
        {n: t for n, t in tensors.items() if n not in named},
    )
    generator = torch.Generator().manual_seed(3)
    inputs = torch.randn(50, 1, 4, 4, generator=generator)
    targets = torch.randint(0, 3, (50,), generator=generator)
    return JobContext(
        job="job_1",
        network=ModuleNetwork(module),
        loss=Loss.named("cross_entropy"),
        precision=Precision.FLOAT32,
        buffers=buffers,
        device=torch.device("cpu"),
        origin=origin,
        points={"ckp_last": origin},
        datasets=(Dataset("train", (inputs,), targets),),
    )


def _request(files: list[str], **changes: Any) -> dict[str, Any]:
    path = {
        "paths": files,
        "centre": len(files) - 1,
        "centring": "final",
        "exclude": [],
        "random_planes": 2,
        "margin": 0.3,
    }
    directions = {axis: {"spec": {"kind": "pca"}, "object": None} for axis in "xy"}
    return {
        "directions": directions,
        "orthogonalise": False,
        "part": path | changes,
    }


def _prepared(context: JobContext, request: dict[str, Any]) -> Prepared:
    return prepare(context, request, "trajectory")


def _tile(context: JobContext, prepared: Prepared, request: dict[str, Any]) -> Tile:
    return _evaluated(context, prepared, prepared.evaluator, request)


def _evaluated(
    context: JobContext, prepared: Prepared, evaluator: Any, request: dict[str, Any]
) -> Tile:
    def read(path: str) -> Point:
        return checkpoint(context, path)

    return evaluate_tile(evaluator, prepared.space, request, lambda _done: None, read)


def _mixed(prepared: Prepared, files: list[str]) -> dict[str, Any]:
    """Places of the path, then the checkpoints themselves, then a cell."""
    at = prepared.body["part"]["coordinates"]
    points = [*at, *at, [0.3, -0.1]]
    checkpoints = [*[None] * ROWS, *files, None]
    return {"indices": list(range(len(points))), "points": points, "checkpoints": checkpoints}


def test_preparing_twice_gives_the_same_plane_and_the_same_bytes(files: list[str]) -> None:
    first, second = _prepared(_context(), _request(files)), _prepared(_context(), _request(files))
    assert first.objects == second.objects
    assert first.body["part"] == second.body["part"]
    assert first.body["norms"]["x"] == pytest.approx(1, abs=1e-6)
    assert abs(first.body["cosine"]) < 1e-6
    path = first.body["part"]
    assert path["coordinates"][-1] == [0, 0]
    assert path["excluded"] == []
    assert len(path["random_shares"]) == 2


def test_another_process_in_other_pieces_gives_the_same_bits(
    files: list[str], tmp_path: Path
) -> None:
    """A worker that dies in the middle is followed by one that has the files and the plan only."""
    context = _context()
    prepared = _prepared(context, _request(files))
    request = _mixed(prepared, files)
    whole = _tile(context, prepared, request).datasets[0]
    fresh = _context()
    directions = {}
    for axis, data in prepared.objects.items():
        (tmp_path / axis).write_bytes(data)
        directions[axis] = read_direction(fresh, tmp_path / axis)
    elsewhere = build_evaluator(fresh, prepared.space, directions)
    for start in range(0, len(request["indices"]), 3):
        piece = {key: values[start : start + 3] for key, values in request.items()}
        part = _evaluated(fresh, prepared, elsewhere, piece).datasets[0]
        for mine, theirs in ((whole.loss, part.loss), (whole.stderr, part.stderr)):
            assert mine[start : start + 3].tobytes() == theirs.tobytes()


def test_a_true_loss_is_that_of_a_plane_centred_on_the_checkpoint(files: list[str]) -> None:
    context = _context()
    prepared = _prepared(context, _request(files))
    tile = _tile(context, prepared, _mixed(prepared, files)).datasets[0]
    for row in range(ROWS):
        centred = _context(row=row)
        random = {
            "kind": "random",
            "seed": 1,
            "normalize": "filter",
            "ignore": [],
            "convention": "lossatlas",
            "axis": None,
        }
        plane = prepare(
            centred,
            {
                "directions": {a: {"spec": random, "object": None} for a in "xy"},
                "orthogonalise": False,
            },
        )
        assert plane.evaluator is not None
        (centre,) = plane.evaluator.evaluate([(0.0, 0.0)])
        assert tile.loss[ROWS + row] == centre.datasets[0].loss
    # at the centre the plane is the checkpoint itself
    assert tile.loss[ROWS - 1] == tile.loss[2 * ROWS - 1]
    assert tile.loss[0] != tile.loss[ROWS]


def test_buffers_follow_the_path_where_they_move(files: list[str]) -> None:
    """Three checkpoints lie in their plane, so moving buffers reproduce each one's true loss."""
    three = [files[0], files[2], files[-1]]
    moving, frozen = _context(BufferPolicy.INTERPOLATE), _context()
    prepared = _prepared(moving, _request(three))
    at = prepared.body["part"]["coordinates"]
    request = {
        "indices": list(range(6)),
        "points": [*at, *at],
        "checkpoints": [None, None, None, *three],
    }
    tile = _tile(moving, prepared, request).datasets[0]
    assert tile.loss[:3] == pytest.approx(tile.loss[3:], rel=1e-5)
    stuck = _prepared(frozen, _request(three))
    # the object is the same whatever buffers do, so that one direction serves both
    assert stuck.objects == prepared.objects
    still = _tile(frozen, stuck, request).datasets[0]
    assert np.abs(still.loss[:2] / still.loss[3:5] - 1).min() > 1e-4


def test_parameters_left_out(files: list[str], tmp_path: Path) -> None:
    prepared = _prepared(_context(), _request(files, exclude=["bias", "norm"]))
    assert set(prepared.body["part"]["excluded"]) == {
        "0.bias",
        "1.weight",
        "1.bias",
        "4.bias",
    }
    (tmp_path / "x").write_bytes(prepared.objects["x"])
    x = read_direction(_context(), tmp_path / "x")
    assert not x.parameters["1.weight"].any()
    assert x.parameters["0.weight"].any()


def test_axes_made_before_are_used_as_they_are(files: list[str], tmp_path: Path) -> None:
    made = _prepared(_context(), _request(files))
    request = _request(files)
    for axis in "xy":
        (tmp_path / axis).write_bytes(made.objects[axis])
        request["directions"][axis] = {"materialised": str(tmp_path / axis)}
    again = _prepared(_context(), request)
    assert again.objects == made.objects
    assert again.body["part"] == made.body["part"]


def test_checkpoints_on_one_line_are_refused(files: list[str]) -> None:
    with pytest.raises(InputInvalid, match="do not span a plane"):
        _prepared(_context(), _request([files[0], files[0], files[-1]]))
    with pytest.raises(InputInvalid, match="do not span a plane"):
        _prepared(_context(), _request([files[0], files[-1]]))


def test_a_file_of_another_network_is_refused(files: list[str], tmp_path: Path) -> None:
    path = str(tmp_path / "other.safetensors")
    safetensors.torch.save_file(nn.Linear(3, 3).state_dict(), path)
    with pytest.raises(ParametersInvalid, match=r"other\.safetensors"):
        _prepared(_context(), _request([*files[:2], path, files[-1]]))


def test_weights_that_are_not_finite_are_refused(files: list[str], tmp_path: Path) -> None:
    spoilt = _checkpoint(1)
    spoilt["4.weight"][0, 0] = float("nan")
    path = str(tmp_path / "nan.safetensors")
    safetensors.torch.save_file(spoilt, path)
    with pytest.raises(InputInvalid, match=r"checkpoints \[1\]"):
        _prepared(_context(), _request([files[0], path, *files[2:]]))
