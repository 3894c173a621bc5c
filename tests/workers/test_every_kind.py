"""Every named loss and a table of networks through every kind of job, in both precisions, as a
child computes them; each against plain float64 losses, gradients and dense Hessians."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from service.domain.cells import CellStatus
from service.domain.questions.table import job_spec
from service.domain.results import Tile
from tests.engine.cases import SquaredError, Tokens
from tests.engine.dense_hessian import Attention
from tests.support.halves import evaluate_tile, half, prepare, tile_of
from tests.support.module_network import ModuleNetwork, point_of, seeded
from workers.computation.context import JobContext
from workers.computation.directions import make_direction, read_direction
from workers.engine.datasets import Dataset
from workers.engine.direction import Direction
from workers.engine.losses import Loss, LossName
from workers.engine.network import Point
from workers.engine.placement import BufferPolicy
from workers.engine.precision import Precision

ID = "0" * 26
SAMPLES = 13  # no multiple of anything
G = torch.Generator().manual_seed(8)


def rand(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=G)


class Through(nn.Module):
    """A perceptron with an activation of one's choice: four inputs, three outputs."""

    def __init__(self, activation: Callable[[Tensor], Tensor], *, log: bool = False) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, 4), nn.Linear(4, 3)
        if isinstance(activation, nn.Module):
            self.activation = activation
        else:
            self.__dict__["activation"] = activation
        self._log = log

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.last(self.activation(self.first(x)))
        return out.log_softmax(1) if self._log else out


class OneParameter(nn.Module):
    """Three fixed multiples of one number times the sample's mean."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor(0.7))
        self.register_buffer("slopes", torch.tensor([1.0, -2.0, 0.5]))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = torch.tanh(self.w * x.mean(1, keepdim=True)) * self.slopes
        return out


def _image(norm: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Conv2d(2, 4, 3), norm, nn.SiLU(), nn.Flatten(), nn.Linear(16, 3))


LABELS = torch.arange(SAMPLES) % 3
VECTORS, IMAGES = rand(SAMPLES, 4), rand(SAMPLES, 2, 4, 4)
SEQUENCE = torch.randint(0, 4, (SAMPLES, 5), generator=G)
SEQUENCE[::3, 2:] = -100
Make = Callable[[], nn.Module]
#: Name: (loss, network, inputs, targets).
LOSSES: dict[str, tuple[str, Make, Tensor, Tensor]] = {
    "cross_entropy": ("cross_entropy", lambda: Through(torch.tanh), VECTORS, LABELS),
    "probabilities": (
        "cross_entropy",
        lambda: Through(torch.tanh),
        VECTORS,
        rand(SAMPLES, 3).softmax(1),
    ),
    "mse": ("mse", lambda: Through(torch.tanh), VECTORS, rand(SAMPLES, 3)),
    "l1": ("l1", lambda: Through(torch.tanh), VECTORS, rand(SAMPLES, 3)),
    "huber": ("huber", lambda: Through(torch.tanh), VECTORS, 3 * rand(SAMPLES, 3)),
    "bce_with_logits": (
        "bce_with_logits",
        lambda: Through(torch.tanh),
        VECTORS,
        (rand(SAMPLES, 3) > 0).float(),
    ),
    "nll": ("nll", lambda: Through(torch.tanh, log=True), VECTORS, LABELS),
    "program": ("program", SquaredError, VECTORS, rand(SAMPLES, 2)),
}
NETWORKS: dict[str, tuple[str, Make, Tensor, Tensor]] = {
    "conv, batch norm": ("cross_entropy", lambda: _image(nn.BatchNorm2d(4)), IMAGES, LABELS),
    "conv, group norm": ("cross_entropy", lambda: _image(nn.GroupNorm(2, 4)), IMAGES, LABELS),
    "abs": ("mse", lambda: Through(torch.abs), VECTORS, rand(SAMPLES, 3)),
    "softsign": ("huber", lambda: Through(F.softsign), VECTORS, rand(SAMPLES, 3)),
    "p = 1 norm": (
        "cross_entropy",
        lambda: Through(lambda h: F.normalize(h, p=1.0, dim=1)),
        VECTORS,
        LABELS,
    ),
    "prelu": ("mse", lambda: Through(nn.PReLU()), VECTORS, rand(SAMPLES, 3)),
    "hardswish": ("cross_entropy", lambda: Through(F.hardswish), VECTORS, LABELS),
    "l1 of relu": ("l1", lambda: Through(torch.relu), VECTORS, rand(SAMPLES, 3)),
    "one parameter": ("cross_entropy", OneParameter, VECTORS, LABELS),
    "embedding": (
        "cross_entropy",
        Tokens,
        torch.randint(0, 11, (SAMPLES, 5), generator=G),
        SEQUENCE,
    ),
    "attention": ("cross_entropy", Attention, rand(SAMPLES, 5, 6), LABELS),
}
KINDS = (
    "surface",
    "line",
    "interpolation",
    "trajectory",
    "point",
    "map",
    "gradient",
    "eigenvector",
)
RANDOM = {"kind": "random", "seed": 1, "normalize": "filter", "ignore": []}
OVER_DATA = {"dataset": "dst_a", "normalize": "none", "ignore": []}
POINTS = [[0.0, 0.0], [0.4, -0.3]]


def test_every_named_loss_is_in_the_table() -> None:
    assert {loss for loss, *_ in LOSSES.values()} == {loss.value for loss in LossName}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As a child has by default."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class Worked:
    """One network with its data in a child, and the plain float64 reference."""

    def __init__(self, row: tuple[str, Make, Tensor, Tensor], precision: Precision) -> None:
        self.loss, make, self.inputs, self.targets = row
        self.module = seeded(make, seed=5)
        names = ("x", "targets") if self.loss == "program" else ("x",)
        self.origin = point_of(self.module)
        self.other = Point(
            {n: t + 0.3 * torch.cos(t + 1) for n, t in self.origin.parameters.items()},
            self.origin.buffers,
        )
        self.double = precision is Precision.FLOAT64
        self.context = JobContext(
            job="job_1",
            network=ModuleNetwork(self.module, names),
            loss=Loss.named(self.loss),
            precision=precision,
            buffers=BufferPolicy.FROZEN,
            device=torch.device("cpu"),
            origin=self.origin,
            points={f"ckp_{ID}": self.origin, "ckp_other": self.other},
            datasets=(Dataset("data", (self.inputs,), self.targets),),
            dataset_ids=("dst_a",),
        )

    def vector(self, tensors: dict[str, Tensor] | Any) -> Tensor:
        return torch.cat([t.double().reshape(-1) for t in tensors.values()])

    def reference(self, vector: Tensor) -> Tensor:
        """L in float64: PyTorch's own functions of a whole batch, differentiable."""
        shapes = {n: t.shape for n, t in self.origin.parameters.items()}
        parts = vector.split([s.numel() for s in shapes.values()])
        moved = {n: p.reshape(s) for (n, s), p in zip(shapes.items(), parts, strict=True)}
        fixed = {
            n: b.double() if b.is_floating_point() else b for n, b in self.origin.buffers.items()
        }
        x = self.inputs.double() if self.inputs.is_floating_point() else self.inputs
        t = self.targets.double() if self.targets.is_floating_point() else self.targets
        arguments = (x, t) if self.loss == "program" else (x,)
        outputs = functional_call(self.module, {**fixed, **moved}, arguments)
        match self.loss:
            case "cross_entropy" if t.dim() == 2 and not t.is_floating_point():
                values = F.cross_entropy(outputs, t, reduction="none")
                return (values.sum(1) / (t != -100).sum(1)).mean()
            case "cross_entropy":
                return F.cross_entropy(outputs, t)
            case "nll":
                return F.nll_loss(outputs, t)
            case "program":
                return outputs.mean()
            case "mse":
                return F.mse_loss(outputs, t)
            case "l1":
                return F.l1_loss(outputs, t)
            case "huber":
                return F.huber_loss(outputs, t)
            case _:
                return F.binary_cross_entropy_with_logits(outputs, t)

    def hessian(self, vector: Tensor) -> Tensor:
        """Differences of no kind: autograd's own double backward, column by column."""
        leaf = vector.clone().requires_grad_()
        with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
            (slope,) = torch.autograd.grad(self.reference(leaf), leaf, create_graph=True)
            rows = [
                torch.autograd.grad(
                    s, leaf, retain_graph=True, allow_unused=True, materialize_grads=True
                )[0]
                for s in slope
            ]
        return torch.stack(rows)

    def prepared(self, kind: str, axes: dict[str, Any], part: Any = None) -> Any:
        directions = {axis: {"spec": spec, "object": None} for axis, spec in axes.items()}
        return prepare(
            self.context,
            {"directions": directions, "orthogonalise": False, "part": part},
            kind,
        )


def _random(axis: str, **more: Any) -> dict[str, Any]:
    return {**RANDOM, "axis": axis, **more}


def _read(worked: Worked, prepared: Any, folder: Path) -> dict[str, Direction]:
    found = {}
    for axis, data in prepared.objects.items():
        (folder / axis).write_bytes(data)
        found[axis] = read_direction(worked.context, folder / axis)
    return found


def _losses(worked: Worked, kind: str, folder: Path) -> None:
    """A surface, a line, an interpolation or a trajectory: every cell's loss."""
    origin, other = (worked.vector(p.parameters) for p in (worked.origin, worked.other))
    points, part, axes = POINTS, None, {"x": _random("x"), "y": _random("y")}
    if kind == "line":
        axes = {"line0": _random("x"), "line1": _random("x", seed=2)}
        points = [[0.4, 0.0], [-0.3, 1.0]]
    if kind == "interpolation":
        axes = {"x": {**OVER_DATA, "kind": "between", "target": "ckp_other"}}
        points, part = [[0.0, 0.0], [0.25, 0.0], [1.0, 0.0]], {"target": "ckp_other"}
    if kind == "trajectory":
        files = []
        for row in range(4):
            moved = {
                n: (t + 0.1 * (3 - row) * torch.sin((row + 1) * t + 1)).contiguous()
                for n, t in worked.origin.parameters.items()
            }
            files.append(str(folder / f"{row}.safetensors"))
            safetensors.torch.save_file(moved | dict(worked.origin.buffers), files[-1])
        axes = {axis: {"kind": "pca"} for axis in "xy"}
        path = {"centre": 3, "centring": "final", "exclude": [], "random_planes": 0, "margin": 0.3}
        part = {"paths": files, **path}
    prepared = worked.prepared(kind, axes, part)
    request = {"indices": list(range(len(points))), "points": points}
    tile = evaluate_tile(prepared.evaluator, prepared.space, request, lambda _done: None)
    directions = {
        axis: worked.vector(d.parameters) for axis, d in _read(worked, prepared, folder).items()
    }
    (data,) = tile.datasets
    assert (data.status == CellStatus.OK).all()
    for loss, (alpha, beta) in zip(data.loss, points, strict=True):
        if kind == "line":
            at = origin + alpha * directions[f"line{int(beta)}"]
        elif kind == "interpolation":
            at = (1 - alpha) * origin + alpha * other
        else:
            at = origin + alpha * directions["x"] + beta * directions["y"]
        assert loss == pytest.approx(
            float(worked.reference(at)), rel=1e-12 if worked.double else 2e-5, abs=1e-12
        )


def _curvature(worked: Worked, folder: Path, asked: dict[str, Any], points: Any) -> Tile:
    precision = "float64" if worked.double else "float32"
    body = {"kind": "curvature", "origin": f"ckp_{ID}", "datasets": [f"dst_{ID}"]}
    spec = job_spec().validate_python({**body, "precision": precision, **asked})
    question = spec.model_dump(mode="json")
    axes = {"x": _random("x"), "y": _random("y")} if "map" in asked else {"along0": _random("x")}
    prepared = worked.prepared("curvature", axes, {"asked": question, "memory_bytes": 1 << 28})
    _read(worked, prepared, folder)
    request = {
        "indices": list(range(len(points))),
        "points": points,
        "part": {"asked": question, "way": prepared.body["part"]},
        "batch_size": prepared.body["batch_size"],
        "directions": {axis: {"digest": axis, "path": str(folder / axis)} for axis in axes},
    }
    other = half("curvature", worked.context)
    return other.tile(tile_of(request, other.tile_part), lambda _n: None)


def _point(worked: Worked, folder: Path) -> None:
    vector = worked.vector(worked.origin.parameters)
    exact = worked.hessian(vector)
    values = torch.linalg.eigvalsh(exact).numpy()
    count = min(3, len(vector))
    asked = {"largest": count, "smallest": count, "trace": {"samples": 8}, "along": [RANDOM]}
    found = _curvature(worked, folder, asked | {"density": {"steps": 3, "probes": 2}}, [[0.0, 0.0]])
    arrays = {name.removeprefix("curvature."): a for name, a in found.attachments.items()}
    scale = float(np.abs(values).max())
    error = (2e-5 if worked.double else 1e-4) * scale + 1e-12
    assert arrays["largest_converged"].all()
    assert arrays["smallest_converged"].all()
    assert np.abs(arrays["largest"] - values[::-1][:count]).max() <= error
    assert np.abs(arrays["smallest"] - values[:count]).max() <= error
    along = worked.vector(read_direction(worked.context, folder / "along0").parameters)
    curvature = float(along @ exact @ along / (along @ along))
    assert float(arrays["along.values"][0]) == pytest.approx(curvature, abs=error)
    leaf = vector.clone().requires_grad_()
    (slope,) = torch.autograd.grad(worked.reference(leaf), leaf)
    assert float(arrays["gradient_norm"]) == pytest.approx(float(slope.norm()), rel=1e-5, abs=1e-9)
    assert abs(arrays["form_difference"]) <= (1e-12 if worked.double else 1e-4)


def _map(worked: Worked, folder: Path) -> None:
    axis = {"min": -1, "max": 1, "num": 3}
    plane = {axis: _random(axis) for axis in "xy"}
    asked = {"map": {"directions": plane, "grid": {"x": axis, "y": axis}}}
    (data,) = _curvature(worked, folder, asked, POINTS).datasets
    assert (data.extra["converged"] == 1).all()
    x, y = (
        worked.vector(read_direction(worked.context, folder / axis).parameters) for axis in "xy"
    )
    for cell, (alpha, beta) in enumerate(POINTS):
        at = worked.vector(worked.origin.parameters) + alpha * x + beta * y
        values = torch.linalg.eigvalsh(worked.hessian(at)).numpy()
        error = 5e-3 * float(np.abs(values).max()) + 1e-12
        assert data.extra["lambda_max"][cell] == pytest.approx(values[-1], abs=error)
        assert data.extra["lambda_min"][cell] == pytest.approx(values[0], abs=error)


def _over_data(worked: Worked, kind: str) -> None:
    vector = worked.vector(worked.origin.parameters)
    tolerance = 1e-6 if worked.double else 1e-4
    if kind == "gradient":
        made = make_direction(worked.context, "x", {**OVER_DATA, "kind": kind}, None)
        leaf = vector.clone().requires_grad_()
        (slope,) = torch.autograd.grad(worked.reference(leaf), leaf)
        got = worked.vector(made.direction.parameters)
        assert float((got - slope).norm()) <= tolerance * float(slope.norm())
        return
    spec = {**OVER_DATA, "kind": kind, "exclude": [], "seed": 0, "tolerance": 1e-5}
    exact = worked.hessian(vector)
    values = torch.linalg.eigvalsh(exact)
    scale = float(values.abs().max())
    for which, value in (("largest", values[-1]), ("smallest", values[0])):
        made = make_direction(worked.context, "x", {**spec, "which": which}, None)
        got = worked.vector(made.direction.parameters)
        assert made.about["converged"]
        assert made.about["eigenvalue"] == pytest.approx(float(value), abs=1e-4 * scale)
        assert float((exact @ got - float(value) * got).norm()) <= 1e-3 * scale + 1e-12


def _works(worked: Worked, kind: str, folder: Path) -> None:
    match kind:
        case "point":
            _point(worked, folder)
        case "map":
            _map(worked, folder)
        case "gradient" | "eigenvector":
            _over_data(worked, kind)
        case _:
            _losses(worked, kind, folder)


BOTH = pytest.mark.parametrize("precision", [Precision.FLOAT32, Precision.FLOAT64])


@pytest.mark.parametrize("name", LOSSES)
@BOTH
def test_every_loss(name: str, precision: Precision, tmp_path: Path) -> None:
    worked = Worked(LOSSES[name], precision)
    for kind in KINDS:
        (tmp_path / kind).mkdir()
        _works(worked, kind, tmp_path / kind)


@pytest.mark.parametrize("name", NETWORKS)
@BOTH
def test_every_network(name: str, precision: Precision, tmp_path: Path) -> None:
    worked = Worked(NETWORKS[name], precision)
    # the path of a single number spans no plane
    for kind in KINDS if name != "one parameter" else set(KINDS) - {"trajectory"}:
        (tmp_path / kind).mkdir()
        _works(worked, kind, tmp_path / kind)
