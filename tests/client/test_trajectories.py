"""Trajectories through the client and the command line, against the live service."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import lossatlas
import numpy as np
import pytest
import torch
from torch import nn

from tests.client import networks
from tests.support.live import Api, Live

PNG = b"\x89PNG\r\n\x1a\n"
RATES = (0.1, 0.1, 0.01, 0.01)


@dataclass(frozen=True)
class Trained:
    """Two runs of one network, four checkpoints each, with learning rates."""

    first: lossatlas.Model
    second: lossatlas.Model
    checkpoints: tuple[lossatlas.Checkpoint, ...]
    data: lossatlas.Dataset


@pytest.fixture(scope="module")
def client(live_api: Api) -> Iterator[lossatlas.Client]:
    with lossatlas.Client(live_api.url, live_api.key, progress=False) as client:
        yield client


@pytest.fixture(scope="module")
def trained(client: lossatlas.Client, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(40, 1, 8, 8, generator=generator)
    classes = torch.randint(0, 3, (40,), generator=generator)
    path = tmp_path_factory.mktemp("trained") / "conv.pt2"
    lossatlas.export_model(networks.seeded(networks.ConvNet), images[:1], path)
    models, checkpoints = [], []
    for run in (0, 1):
        network = networks.seeded(networks.ConvNet)
        model = client.push_model(path, project="paths", name=f"run {run}")
        for step, rate in enumerate(RATES):
            pushed = client.push_checkpoint(model, network, step=step, learning_rate=rate)
            checkpoints.append(pushed)
            descend(network, images, classes, rate if run else 2 * rate)
        models.append(model)
    data = client.push_dataset(images, classes, project="paths", name="noise")
    return Trained(models[0], models[1], tuple(checkpoints), data)


def descend(network: nn.Module, x: torch.Tensor, y: torch.Tensor, rate: float) -> None:
    """One step along the gradient, running statistics included."""
    network.train()
    network.zero_grad()
    nn.functional.cross_entropy(network(x), y).backward()
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.grad is not None:
                parameter -= rate * parameter.grad
    network.eval()


def test_two_runs_as_arrays_and_figures(
    client: lossatlas.Client, trained: Trained, tmp_path: Path
) -> None:
    job = client.trajectory(
        trained.first,
        trained.data,
        label="large steps",
        runs=[{"model": trained.second, "label": "small steps"}],
        num=5,
        random_planes=2,
    )
    landscape = job.wait(180, progress=False)
    path = landscape.trajectory
    assert path is not None
    assert landscape.kind == "trajectory"
    assert [(run.label, run.start, run.stop) for run in path.runs] == [
        ("large steps", 0, 4),
        ("small steps", 4, 8),
    ]
    assert path.checkpoints == tuple(c.id for c in trained.checkpoints)
    assert path.coordinates.shape == (8, 2)
    assert path.coordinates[path.centre_row].tolist() == [0, 0]
    assert path.steps.tolist() == [0, 1, 2, 3, 0, 1, 2, 3]
    assert np.flatnonzero(path.learning_rate_drops).tolist() == [2, 6]
    assert path.explained_variance[:2].sum() <= 1
    assert path.true_loss["noise"].shape == (8,)
    assert path.true_loss["noise"][3] == path.plane_loss["noise"][3]
    assert landscape.loss.shape == (5, 5)
    shown, hidden = landscape.figure(), landscape.figure(trajectory=False)
    assert shown.startswith(PNG)
    assert hidden.startswith(PNG)
    assert shown != hidden
    for view in ("filled", "heatmap", "surface"):
        file = landscape.save_figure(tmp_path / f"{view}.png", view)
        assert file.read_bytes().startswith(PNG)
    with np.load(landscape.save(tmp_path / "path.npz")) as arrays:
        assert np.array_equal(arrays["attached.trajectory.coordinates"], path.coordinates)


def test_the_values_so_far_hold_the_path(
    client: lossatlas.Client, trained: Trained, live_api: Api
) -> None:
    job = client.trajectory(trained.first, trained.data, num=4, center="mean")
    landscape = job.wait(180, progress=False)
    partial = live_api.get(f"/v1/jobs/{job.id}/partial.json").json()
    assert landscape.trajectory is not None
    assert partial["trajectory"] == landscape.trajectory.body
    figure = live_api.get(f"/v1/jobs/{job.id}/partial.png", trajectory="true")
    assert figure.content.startswith(PNG)


def test_a_surface_has_no_path(client: lossatlas.Client, trained: Trained) -> None:
    job = client.surface(trained.checkpoints[3], trained.data, num=2)
    assert job.wait(120, progress=False).trajectory is None


def test_the_planes_axes_serve_other_jobs(client: lossatlas.Client, trained: Trained) -> None:
    job = client.trajectory(trained.first, trained.data, num=3)
    landscape = job.wait(180, progress=False)
    axes = landscape.provenance["directions"]
    surface = client.surface(
        trained.checkpoints[3],
        trained.data,
        x=axes["x"]["id"],
        y=axes["y"]["id"],
        num=3,
        x_range=(float(landscape.x[0]), float(landscape.x[-1])),
        y_range=(float(landscape.grid.body["y"][0]), float(landscape.grid.body["y"][-1])),
    )
    assert np.array_equal(surface.wait(120, progress=False).loss, landscape.loss)


def test_too_few_checkpoints(client: lossatlas.Client, trained: Trained) -> None:
    with pytest.raises(lossatlas.InvalidRequestError, match="plane"):
        client.trajectory(trained.first, trained.data, checkpoints=trained.checkpoints[:2])


def test_few_cells_of_the_surface(client: lossatlas.Client, trained: Trained) -> None:
    job = client.trajectory(
        trained.first, trained.data, num=21, sampling=lossatlas.Adaptive(tolerance=0.1)
    )
    landscape = job.wait(180, progress=False)
    told = landscape.sampling
    assert told is not None
    assert (told["mode"], told["tolerance"], told["cells"]) == ("adaptive", 0.1, 21 * 21)


def test_the_command(live: Live, live_api: Api, trained: Trained, tmp_path: Path) -> None:
    out = tmp_path / "path.png"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "lossatlas.cli.command", "trajectory", trained.first.id),
            *("--dataset", trained.data.id, "--num", "5", "--exclude", "bias"),
            *("--run", f"other={trained.second.id}", "--adaptive", "10%"),
            *("-o", str(out), "--json"),
        ],
        env={
            "PATH": os.environ["PATH"],
            "HOME": "/nonexistent",
            "LOSSATLAS_DATA_DIR": str(live.folder),
        },
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    landscape = json.loads(done.stdout)["landscape"]
    assert landscape["kind"] == "trajectory"
    assert landscape["provenance"]["sampling"]["tolerance"] == 0.1
    assert out.read_bytes().startswith(PNG)
