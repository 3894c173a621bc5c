"""Trajectories against dense float64 linear algebra, and the faults that ours must not have."""

from __future__ import annotations

import math
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import workers.engine.trajectory as module_under_test
from tests.engine.loaded import LoadedCheckpoints
from tests.support.module_network import ModuleNetwork
from workers.engine.checkpoint_files import CheckpointFiles
from workers.engine.direction import Direction, geometry
from workers.engine.directions import random_direction
from workers.engine.errors import InputInvalid, ParametersInvalid
from workers.engine.gaussian import GaussianStream, standard_gaussians
from workers.engine.trajectory import (
    Centring,
    path_extent,
    principal_plane,
    project,
    random_plane_share,
)

NETWORK = ModuleNetwork(
    nn.Sequential(nn.Linear(9, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Linear(6, 4))
)
NAMES = list(NETWORK.parameters)


def walk(n: int = 7, seed: int = 0) -> list[dict[str, torch.Tensor]]:
    """A path that mostly goes one way, as training does, with buffers beside the parameters."""
    g = torch.Generator().manual_seed(seed)
    shapes = {k: s.shape for k, s in NETWORK.parameters.items()}
    start, way = (
        {k: torch.randn(s, generator=g, dtype=torch.float64) for k, s in shapes.items()}
        for _ in range(2)
    )
    path = []
    for i in range(n):
        noise = {k: torch.randn(s, generator=g, dtype=torch.float64) for k, s in shapes.items()}
        path.append({k: start[k] + math.sqrt(i) * way[k] + 0.2 * i * noise[k] for k in shapes})
        path[-1]["1.num_batches_tracked"] = torch.tensor(i)
    return path


def matrix(
    path: list[dict[str, torch.Tensor]], centre: int = -1, names: list[str] = NAMES
) -> np.ndarray:
    rows = np.stack([np.concatenate([c[k].numpy().ravel() for k in names]) for c in path])
    out: np.ndarray = rows - rows[centre]
    return out


def flat(d: Direction, names: list[str] = NAMES) -> np.ndarray:
    return np.concatenate([d.parameters[k].double().numpy().ravel() for k in names])


@pytest.fixture(params=[8 * 7 * 5, 1 << 20], ids=["blocks of 5", "one block a tensor"])
def _block_size(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module_under_test, "_BLOCK_BYTES", request.param)


@pytest.mark.usefixtures("_block_size")
@pytest.mark.parametrize("centring", list(Centring))
@pytest.mark.parametrize("centre", [-1, 2])
def test_the_plane_is_the_svds(centring: Centring, centre: int) -> None:
    path = walk()
    plane = principal_plane(
        NETWORK,
        LoadedCheckpoints(path),
        centre=centre,
        centring=centring,
        dtype=torch.float64,
    )
    m = matrix(path, centre)
    around = m - m.mean(0) if centring is Centring.MEAN else m
    _, sigma, v = np.linalg.svd(around, full_matrices=False)
    assert plane.explained_variance[:2] == pytest.approx((sigma**2 / (sigma**2).sum())[:2])
    assert plane.explained_variance.sum() == pytest.approx(1)
    for k, axis in enumerate((plane.x, plane.y)):
        ours = flat(axis)
        assert np.abs(ours @ v[k]) == pytest.approx(1, abs=1e-12)
        assert ours[np.argmax(np.abs(ours))] > 0  # the stated sign
        assert plane.projection.coordinates[:, k] == pytest.approx(m @ ours, abs=1e-11)
    off = m - plane.projection.coordinates @ np.stack([flat(plane.x), flat(plane.y)])
    norms = np.linalg.norm(m, axis=1)
    with np.errstate(invalid="ignore"):
        residuals = np.where(norms > 0, np.linalg.norm(off, axis=1) / norms, 0)
    assert plane.projection.residuals == pytest.approx(residuals, abs=1e-12)
    assert plane.projection.distances == pytest.approx(norms)
    assert plane.projection.residuals[centre] == 0
    assert geometry(plane.x, plane.y).cosine == pytest.approx(0, abs=1e-12)


def test_parameters_left_out_do_not_move() -> None:
    names = ["0.weight", "3.weight"]
    path = walk()
    plane = principal_plane(NETWORK, LoadedCheckpoints(path), names=names, dtype=torch.float64)
    _, sigma, v = np.linalg.svd(matrix(path, names=names), full_matrices=False)
    assert plane.explained_variance[:2] == pytest.approx((sigma**2 / (sigma**2).sum())[:2])
    assert abs(flat(plane.x, names) @ v[0]) == pytest.approx(1)
    assert list(plane.x.parameters) == NAMES
    assert not plane.x.parameters["0.bias"].any()


def test_a_checkpoint_nearly_in_the_plane_has_its_small_residual() -> None:
    """‖m‖² − ‖projection‖² would give 0 or nonsense here."""
    g = torch.Generator().manual_seed(3)
    a, b, c = (torch.randn(6, 9, generator=g, dtype=torch.float64) for _ in range(3))
    zero = {k: torch.zeros(s.shape, dtype=torch.float64) for k, s in NETWORK.parameters.items()}
    path = [{**zero, "0.weight": w} for w in (a, b, 0.5 * a - b, a + b + 1e-9 * c)] + [zero]
    plane = principal_plane(NETWORK, LoadedCheckpoints(path), dtype=torch.float64)
    m = matrix(path)
    _, _, v = np.linalg.svd(m, full_matrices=False)
    off = m[3] - v[:2].T @ (v[:2] @ m[3])
    assert plane.projection.residuals[3] == pytest.approx(
        np.linalg.norm(off) / np.linalg.norm(m[3]), rel=1e-3
    )


def test_several_runs_on_one_plane() -> None:
    runs = walk(5, 1) + walk(4, 2)
    plane = principal_plane(NETWORK, LoadedCheckpoints(runs), centre=4, dtype=torch.float64)
    m = matrix(runs, 4)
    assert plane.projection.coordinates.shape == (9, 2)
    assert plane.projection.share == pytest.approx(
        np.square(plane.projection.coordinates).sum() / np.square(m).sum()
    )
    assert plane.projection.share == pytest.approx(plane.explained_variance[:2].sum())


def test_coordinates_on_axes_that_are_not_unit_solve_least_squares() -> None:
    """The reference mis-scaled coordinates on such axes."""
    path = walk()
    x, y = (random_direction(NETWORK, 1, a) for a in "xy")
    x = Direction({k: 3.7 * t for k, t in x.parameters.items()})
    got = project(NETWORK, LoadedCheckpoints(path), x, y)
    m, axes = matrix(path), np.stack([flat(x), flat(y)], axis=1)
    want, *_ = np.linalg.lstsq(axes, m.T, rcond=None)
    assert got.coordinates == pytest.approx(want.T, rel=1e-10, abs=1e-12)
    off = np.linalg.norm(m - got.coordinates @ axes.T, axis=1)[:-1]
    assert got.residuals[:-1] == pytest.approx(off / np.linalg.norm(m, axis=1)[:-1])
    inside = np.square(got.coordinates @ axes.T).sum() / np.square(m).sum()
    assert got.share == pytest.approx(inside)


def test_projecting_on_the_plane_itself_gives_its_coordinates() -> None:
    path = walk()
    plane = principal_plane(NETWORK, LoadedCheckpoints(path), dtype=torch.float64)
    again = project(NETWORK, LoadedCheckpoints(path), plane.x, plane.y)
    assert again.coordinates == pytest.approx(plane.projection.coordinates, abs=1e-11)
    assert again.share == pytest.approx(plane.projection.share)


def test_random_planes_hold_next_to_nothing_of_a_path() -> None:
    path = walk()
    shares = random_plane_share(NETWORK, LoadedCheckpoints(path), range(40))
    for seed, share in zip(range(3), shares, strict=False):
        x, y = (random_direction(NETWORK, seed, a) for a in "xy")
        assert share == pytest.approx(project(NETWORK, LoadedCheckpoints(path), x, y).share)
    count = sum(math.prod(s.shape) for s in NETWORK.parameters.values())
    assert shares.mean() == pytest.approx(2 / count, rel=0.6)
    plane = principal_plane(NETWORK, LoadedCheckpoints(path))
    assert plane.projection.share > 20 * shares.mean()


def test_what_spans_no_plane_is_refused() -> None:
    a, b = walk(2)
    mid = {k: (a[k] + b[k]) / 2 if a[k].is_floating_point() else a[k] for k in a}
    for path in ([a], [a, b], [a, a, a], [a, mid, b]):
        with pytest.raises(InputInvalid, match="do not span a plane"):
            principal_plane(NETWORK, LoadedCheckpoints(path))
    bad = {**a, "0.bias": torch.full((6,), math.nan, dtype=torch.float64)}
    with pytest.raises(InputInvalid, match=r"checkpoints \[1\] hold weights that are not finite"):
        principal_plane(NETWORK, LoadedCheckpoints([a, bad, b]))
    x = random_direction(NETWORK, 1, "x")
    with pytest.raises(InputInvalid, match="parallel"):
        project(NETWORK, LoadedCheckpoints(walk()), x, Direction(dict(x.parameters)))
    with pytest.raises(InputInvalid, match="no checkpoint 9"):
        principal_plane(NETWORK, LoadedCheckpoints(walk()), centre=9)


def test_extent_with_a_margin() -> None:
    coordinates = np.array([[0.0, 0.0], [10.0, 0.0], [4.0, 0.0]])
    x, y = path_extent(coordinates, 0.1)
    assert x == pytest.approx((-1.0, 11.0))
    assert y == pytest.approx((-1.0, 1.0))
    assert path_extent(np.zeros((2, 2)), 0.5) == ((-0.5, 0.5), (-0.5, 0.5))


def test_files_are_read_in_parts(tmp_path: Path) -> None:
    path = [{k: t.float() if t.is_floating_point() else t for k, t in c.items()} for c in walk()]
    files = []
    for i, checkpoint in enumerate(path):
        files.append(tmp_path / f"{i}.safetensors")
        save_file({k: t.contiguous() for k, t in checkpoint.items()}, files[-1])
    a = principal_plane(NETWORK, CheckpointFiles(NETWORK, files))
    b = principal_plane(NETWORK, LoadedCheckpoints(path))
    assert np.array_equal(a.projection.coordinates, b.projection.coordinates)
    assert torch.equal(a.x.parameters["0.weight"], b.x.parameters["0.weight"])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda d: b"\xff" * 8 + d[8:], "too long"),
        (lambda d: d[:8] + b"!" + d[9:], "no JSON"),
        (lambda d: d[:-40], "outside the file"),
        (lambda d: d.replace(b'"3.bias"', b'"4.bias"'), "no floating tensor '3.bias'"),
        (lambda d: d.replace(b"[4,6]", b"[6,4]"), r"shape \(6, 4\)"),
        (lambda d: d.replace(b'"F32"', b'"I32"'), "no floating tensor"),
    ],
)
def test_damaged_files_are_refused(tmp_path: Path, damage, message: str) -> None:  # type: ignore[no-untyped-def]
    file = tmp_path / "c.safetensors"
    save_file({k: t.float().contiguous() for k, t in walk(1)[0].items()}, file)
    data = file.read_bytes()
    changed = damage(data)
    assert changed != data
    file.write_bytes(changed)
    with pytest.raises(ParametersInvalid, match=message):
        CheckpointFiles(NETWORK, [file])


def test_a_tied_tensor_may_come_under_its_other_name(tmp_path: Path) -> None:
    class Tied(ModuleNetwork):
        tied: ClassVar = {"other.weight": "0.weight"}

    network = Tied(nn.Sequential(nn.Linear(9, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Linear(6, 4)))
    files = []
    for i, checkpoint in enumerate(walk()):
        tensors = dict(checkpoint)
        if i % 2:
            tensors["other.weight"] = tensors.pop("0.weight")
        files.append(tmp_path / f"{i}.safetensors")
        save_file(tensors, files[-1])
    plane = principal_plane(network, CheckpointFiles(network, files))
    usual = principal_plane(NETWORK, LoadedCheckpoints(walk()))
    assert plane.projection.coordinates == pytest.approx(usual.projection.coordinates)


def test_axes_are_the_stated_combinations_of_checkpoints() -> None:
    path = walk()
    for centring in Centring:
        plane = principal_plane(
            NETWORK, LoadedCheckpoints(path), centring=centring, dtype=torch.float64
        )
        made = matrix(path).T @ plane.weights
        assert made == pytest.approx(np.stack([flat(plane.x), flat(plane.y)], axis=1), abs=1e-11)


@pytest.mark.parametrize("sizes", [(1, 5, 24, 24), (54,)])
def test_gaussians_taken_in_parts_are_those_taken_at_once(sizes: tuple[int, ...]) -> None:
    stream = GaussianStream(7, "x", "0.weight", (9, 6))
    parts = np.concatenate([stream.take(size) for size in sizes])
    assert np.array_equal(parts, standard_gaussians(7, "x", "0.weight", (9, 6)).ravel())
