"""Directions over data, planes through three networks, lines of several seeds and recalibrated
statistics, through the client and the whole live service, against PyTorch itself.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lossatlas
import numpy as np
import pytest
import torch
from safetensors.torch import load
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import update_bn

from tests.support.live import Api

SAMPLES = 300


def _digits_net(width: int = 32) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, width, 3, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.Conv2d(width, 2 * width, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(2 * width),
        nn.ReLU(),
        nn.Conv2d(2 * width, 2 * width, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(2 * width),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(8 * width, 10),
    )


def _trained(seed: int, images: Tensor, classes: Tensor, steps: int = 100) -> nn.Module:
    """From an initialisation of its own."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = _digits_net().train()
    generator = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    for _ in range(steps):
        chosen = torch.randint(0, len(images), (64,), generator=generator)
        optimiser.zero_grad()
        F.cross_entropy(net(images[chosen]), classes[chosen]).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return net.eval()


@dataclass(frozen=True)
class World:
    """Three networks trained apart, and the data that they were trained on."""

    nets: tuple[nn.Module, ...]
    images: Tensor
    classes: Tensor
    checkpoints: tuple[lossatlas.Checkpoint, ...]
    model: lossatlas.Model
    data: lossatlas.Dataset

    def loss(self, net: nn.Module) -> float:
        with torch.no_grad():
            return F.cross_entropy(net.eval()(self.images).double(), self.classes).item()

    def mixed(self, weights: tuple[float, ...]) -> nn.Module:
        """The combination of the nets' parameters, with the first one's buffers."""
        net = copy.deepcopy(self.nets[0])
        with torch.no_grad():
            for name, parameter in net.named_parameters():
                parts = [dict(n.named_parameters())[name].double() for n in self.nets]
                parameter.copy_(sum(w * p for w, p in zip(weights, parts, strict=True)))
        return net


@pytest.fixture(scope="module")
def client(live_api: Api) -> Iterator[lossatlas.Client]:
    with lossatlas.Client(live_api.url, live_api.key, progress=False) as client:
        yield client


@pytest.fixture(scope="module")
def world(client: lossatlas.Client, tmp_path_factory: pytest.TempPathFactory) -> World:
    bunch = load_digits()
    images = torch.tensor(bunch.images[:SAMPLES], dtype=torch.float32)[:, None] / 16
    classes = torch.tensor(bunch.target[:SAMPLES])
    nets = tuple(_trained(seed, images, classes) for seed in (2, 3, 4))
    path = tmp_path_factory.mktemp("digits") / "net.pt2"
    lossatlas.export_model(nets[0], images[:2], path)
    model = client.push_model(path, project="lines", name="digits")
    checkpoints = tuple(client.push_checkpoint(model, net) for net in nets)
    data = client.push_dataset(images, classes, project="lines", name="train")
    return World(nets, images, classes, checkpoints, model, data)


def _done(job: lossatlas.Job) -> lossatlas.Landscape:
    return job.wait(180, progress=False)


def _json(client: lossatlas.Client, landscape: lossatlas.Landscape) -> Any:
    return client.transport.call("GET", f"/v1/landscapes/{landscape.id}/data.json").json()


def test_recalibrating_takes_the_false_barrier_away(client: lossatlas.Client, world: World) -> None:
    a, b, _ = world.checkpoints
    ask: dict[str, Any] = {"num": 5, "range": (0.0, 1.0)}
    frozen = _done(client.interpolate(a, b, world.data, **ask))
    job = client.interpolate(
        a, b, world.data, **ask, buffers="recalibrate", recalibration_samples=SAMPLES
    )
    fresh = _done(job)
    assert fresh.provenance["recalibration"] == {"samples": SAMPLES, "passes": 1}
    for alpha, value in zip(fresh.x, fresh.loss, strict=True):
        net = world.mixed((1 - alpha, alpha, 0.0))
        update_bn([(world.images,)], net)
        assert value == pytest.approx(world.loss(net), rel=2e-3), alpha
    for alpha, value in zip(frozen.x, frozen.loss, strict=True):
        assert value == pytest.approx(world.loss(world.mixed((1 - alpha, alpha, 0.0))), rel=1e-4)
    # with the origin's statistics the target looks untrained, which it is not
    assert world.loss(world.nets[1]) < 0.01
    assert frozen.loss[-1] > 20 * world.loss(world.nets[1])
    moved = _done(client.interpolate(a, b, world.data, **ask, buffers="interpolate"))
    before, after = (f.derived["barrier"]["value"] for f in (moved, fresh))
    assert before > 0.5
    assert after < 0.3 * before


def test_statistics_from_fewer_samples_are_other_ones(
    client: lossatlas.Client, world: World
) -> None:
    ask: dict[str, Any] = {"num": 1, "range": (0.5, 0.5), "buffers": "recalibrate"}
    a, b, _ = world.checkpoints
    few = _done(client.interpolate(a, b, world.data, **ask, recalibration_samples=100))
    assert few.provenance["recalibration"]["samples"] == 100
    net = world.mixed((0.5, 0.5, 0.0))
    update_bn([(world.images[:100],)], net)
    assert few.loss[0] == pytest.approx(world.loss(net), rel=2e-3)
    # the default is more than there are: all of them
    usual = _done(client.interpolate(a, b, world.data, **ask))
    assert usual.provenance["recalibration"]["samples"] == SAMPLES


def test_a_plane_through_three_networks(client: lossatlas.Client, world: World) -> None:
    a, b, c = world.checkpoints
    plane = _done(client.plane_through(a, b, c, world.data, num=3, range=(0.0, 1.0)))
    assert plane.y is not None
    for iy, beta in enumerate(plane.y):
        for ix, alpha in enumerate(plane.x):
            net = world.mixed((1 - alpha - beta, alpha, beta))
            assert plane.loss[iy, ix] == pytest.approx(world.loss(net), rel=1e-4)


@pytest.mark.parametrize("kind", ["gradient", "eigenvector"])
def test_directions_over_data_are_made_saved_reused_and_downloaded(
    client: lossatlas.Client, world: World, kind: str
) -> None:
    a, b, _ = world.checkpoints
    saved = client.push_direction(a, {"kind": kind, "dataset": world.data.id})
    across = {"kind": "random", "seed": 5, "axis": "y"}
    surface = _done(client.surface(a, world.data, x=saved, y=across, num=3, range=(-0.02, 0.02)))
    about = surface.provenance["directions"]["x"]["about"]
    tensors = load(client.transport.call("GET", f"/v1/directions/{saved.id}/tensors").content)
    names = [name for name, _ in world.nets[0].named_parameters()]
    assert sorted(tensors) == sorted(names)
    length = float(torch.cat([tensors[n].double().flatten() for n in names]).norm())
    if kind == "gradient":
        net = copy.deepcopy(world.nets[0]).double()
        F.cross_entropy(net(world.images.double()), world.classes).backward()  # type: ignore[no-untyped-call]
        for name, parameter in net.named_parameters():
            assert parameter.grad is not None
            scale = float(parameter.grad.abs().max())
            assert torch.allclose(tensors[name].double(), parameter.grad, atol=1e-3 * scale + 1e-7)
        assert about["gradient_norm"] == pytest.approx(length, rel=1e-5)
        # uphill one way, downhill the other, near the network
        assert surface.loss[1, 2] >= surface.loss[1, 1]
    else:
        assert about["converged"] is True
        assert length == pytest.approx(1.0, rel=1e-5)
        curvature = (surface.loss[1, 2] - 2 * surface.loss[1, 1] + surface.loss[1, 0]) / 0.02**2
        assert about["eigenvalue"] == pytest.approx(curvature, rel=0.3)
    # the very tensors, at another network of the same shapes
    elsewhere = client.surface(b, world.data, x=saved, y=across, num=3)
    _done(elsewhere)
    used = client.transport.call("GET", f"/v1/directions/{elsewhere.info.directions['x']}").json()
    assert used["spec"]["kind"] == "uploaded"
    assert used["norm"] == pytest.approx(length, rel=1e-6)


def test_principal_components_serve_other_jobs_once_they_are_made(
    client: lossatlas.Client, world: World
) -> None:
    body: Mapping[str, Any] = {
        "kind": "trajectory",
        "model": world.model.id,
        "datasets": [world.data.id],
        "surface": {"num": 3},
        "true_loss": False,
    }
    path = client.submit(body)
    _done(path)
    x, y = (path.info.directions[axis] for axis in "xy")
    final = world.checkpoints[-1]
    plane = _done(client.surface(final, world.data, x=x, y=y, num=3))
    specs = {axis: d["spec"]["kind"] for axis, d in plane.provenance["directions"].items()}
    assert specs == {"x": "pca", "y": "pca"}


def test_lines_of_several_seeds(client: lossatlas.Client, world: World, tmp_path: Path) -> None:
    checkpoint = world.checkpoints[0]
    job = client.line(checkpoint, world.data, seed=3, repeats=4, num=6, range=(-0.5, 1.0))
    lines = _done(job)
    assert lines.y is None
    assert job.info.progress.total in (24, 25)
    body = _json(client, lines)
    each = np.array(body["line"]["datasets"]["train"]["loss"]["values"])
    assert each.shape == (4, 6)
    assert np.allclose(lines.loss, each.mean(axis=0))
    spread = body["datasets"]["train"]["loss_spread"]["values"]
    assert np.allclose(spread, each.std(axis=0, ddof=1))
    # repeats are not identical: four seeds, four directions
    assert len({tuple(row) for row in each.tolist()}) == 4
    # and each is the line of its own seed, to the bit
    alone = _done(client.line(checkpoint, world.data, seed=5, num=6, range=(-0.5, 1.0)))
    assert np.array_equal(alone.loss, each[2])
    assert lines.provenance["seeds"] == {f"line{k}": 3 + k for k in range(4)}
    assert "barrier" not in lines.derived
    expected = world.loss(world.nets[0])
    assert lines.derived["center_loss"]["value"] == pytest.approx(expected, rel=1e-4)
    assert lines.save_figure(tmp_path / "lines.png").stat().st_size > 1000
    along = _done(client.line(checkpoint, world.data, direction={"kind": "gradient"}, num=3))
    assert along.provenance["directions"]["line0"]["spec"]["dataset"] == world.data.id
    assert along.loss[1] == pytest.approx(expected, rel=1e-4)
    with pytest.raises(lossatlas.InvalidRequestError) as caught:
        client.line(checkpoint, world.data, direction={"kind": "gradient"}, repeats=2)
    assert caught.value.errors[0].pointer == "/repeats"


def test_weights_are_counted_beside_a_curve(
    client: lossatlas.Client, world: World, tmp_path: Path
) -> None:
    a, b, _ = world.checkpoints
    curve = _done(client.interpolate(a, b, world.data, num=5))
    weights = _json(client, curve)["weights"]
    for end, net in zip(("origin", "target"), world.nets, strict=False):
        values = np.concatenate(
            [p.detach().double().numpy().ravel() for p in net.parameters() if p.dim() > 1]
        )
        counts = np.histogram(values, bins=np.array(weights["edges"]))[0]
        assert sum(weights["counts"][end]) == len(values)
        assert np.abs(counts - weights["counts"][end]).sum() <= 2
        assert weights["norms"][end] == pytest.approx(np.linalg.norm(values))
    assert curve.save_figure(tmp_path / "w.png", view="weights").stat().st_size > 1000


def test_what_cannot_recalibrate_is_told_when_asked(
    client: lossatlas.Client, world: World, tmp_path: Path
) -> None:
    class Constant(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(4, 3)
            self.register_buffer("mean", torch.zeros(3), persistent=False)
            self.register_buffer("variance", torch.ones(3), persistent=False)

        def forward(self, x: Tensor) -> Tensor:
            return F.batch_norm(self.linear(x), self.mean, self.variance)  # type: ignore[arg-type]

    net = Constant()
    path = lossatlas.export_model(net, torch.zeros(2, 4), tmp_path / "constant.pt2")
    model = client.push_model(path, project="lines", name="constant")
    checkpoint = client.push_checkpoint(model, net)
    data = client.push_dataset(torch.zeros(4, 4), torch.zeros(4).long(), project="lines", name="z")
    with pytest.raises(lossatlas.ProblemError) as caught:
        client.line(checkpoint, data, buffers="recalibrate")
    assert caught.value.code == "not_supported"
    assert caught.value.errors[0].pointer == "/buffers"
    curvature = {
        "kind": "curvature",
        "origin": world.checkpoints[0].id,
        "datasets": [world.data.id],
        "buffers": "recalibrate",
    }
    with pytest.raises(lossatlas.ProblemError) as caught_curvature:
        client.submit(curvature)
    assert caught_curvature.value.errors[0].pointer == "/buffers"
