"""Batch norms folded into what stands before them: the same loss, and the same failures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.benchmarks.networks import VGG9, ResNet
from tests.program_binding.exported import Case, exported
from tests.support.module_network import seeded
from workers.engine.network import Point
from workers.program.binder import BoundNetwork
from workers.program.folding import folded


def _outputs(network: BoundNetwork, point: Point, *inputs: Tensor) -> Tensor:
    with torch.inference_mode():
        return network.at(point.parameters, point.buffers)(*inputs)


def _operators(network: BoundNetwork, point: Point, *inputs: Tensor) -> list[str]:
    """Names of the operators that one batch runs, the point's own work not counted."""
    from torch.utils._python_dispatch import TorchDispatchMode

    seen: list[str] = []

    class Listen(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            seen.append(str(func))
            return func(*args, **(kwargs or {}))

    with torch.inference_mode():
        infer = network.at(point.parameters, point.buffers)
        with Listen():
            infer(*inputs)
    return seen


@pytest.fixture(scope="module", params=["resnet", "plain", "vgg"])
def network(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    make: dict[str, Callable[[], nn.Module]] = {
        "resnet": lambda: ResNet(20),
        "plain": lambda: ResNet(20, skip=False),
        "vgg": VGG9,
    }
    images = torch.randn(24, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    folder = tmp_path_factory.mktemp("folding")
    return exported(lambda: seeded(make[request.param]), (images,), folder)


def test_the_loss_keeps_six_digits_near_and_far(network: Case) -> None:
    """Along a random direction, 24 samples: the largest relative difference of a cell's loss."""
    targets = torch.arange(24) % 10
    origin, generator = network.point, torch.Generator().manual_seed(2)
    step = {n: torch.randn(p.shape, generator=generator) for n, p in origin.parameters.items()}
    norms = {n: p.norm() / (step[n].norm() + 1e-10) for n, p in origin.parameters.items()}
    plain, short = network.network(fold=False), network.network()
    worst = 0.0
    for alpha in (-1.0, -0.3, 0.0, 0.3, 1.0):
        moved = {n: p + alpha * norms[n] * step[n] for n, p in origin.parameters.items()}
        point = Point(moved, origin.buffers)
        a, b = (_outputs(net, point, *network.inputs).double() for net in (plain, short))
        wanted, found = F.cross_entropy(a, targets), F.cross_entropy(b, targets)
        worst = max(worst, float((found - wanted).abs() / wanted.abs()))
    assert worst <= 1e-6


def test_no_batch_norm_is_left_to_the_batches(network: Case) -> None:
    point, inputs = network.point, network.inputs
    plain = _operators(network.network(fold=False), point, *inputs)
    short = _operators(network.network(), point, *inputs)
    assert any("batch_norm" in name for name in plain)
    assert not any("batch_norm" in name for name in short)


def test_not_in_float64_and_not_when_differentiating(network: Case) -> None:
    point = network.point
    double = Point(
        {n: t.double() for n, t in point.parameters.items()},
        {n: t.double() if t.is_floating_point() else t for n, t in point.buffers.items()},
    )
    images = network.inputs[0][:2]
    exact = _outputs(network.network(fold=False), double, images.double())
    assert torch.equal(_outputs(network.network(), double, images.double()), exact)
    plain = network.network(fold=False)(point.parameters, point.buffers, images)
    assert torch.equal(network.network()(point.parameters, point.buffers, images), plain)
    made_outside = network.network().at(point.parameters, point.buffers)(images)
    assert torch.equal(made_outside, plain)


@pytest.mark.parametrize("value", [-0.5, float("nan"), float("inf")])
def test_a_broken_variance_shows_as_it_does_unfolded(network: Case, value: float) -> None:
    point = network.point
    name = next(n for n in point.buffers if n.endswith("running_var"))
    variance = point.buffers[name].clone()
    variance[1] = value
    broken = Point(point.parameters, {**point.buffers, name: variance})
    images = network.inputs[0][:4]
    plain = _outputs(network.network(fold=False), broken, images)
    short = _outputs(network.network(), broken, images)
    assert torch.equal(plain.isnan(), short.isnan())
    assert torch.allclose(plain, short, rtol=1e-4, atol=1e-4, equal_nan=True)
    assert bool(plain.isnan().all()) == (value != float("inf"))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_broken_weight_shows_as_it_does_unfolded(network: Case, value: float) -> None:
    point = network.point
    name = next(n for n, p in point.parameters.items() if p.dim() == 4)
    weight = point.parameters[name].clone()
    weight[0] = value
    broken = Point({**point.parameters, name: weight}, point.buffers)
    images = network.inputs[0][:4]
    plain = _outputs(network.network(fold=False), broken, images)
    short = _outputs(network.network(), broken, images)
    assert torch.equal(plain.isfinite(), short.isfinite())
    assert not bool(plain.isfinite().all())


class Shared(nn.Module):
    """Where folding would be wrong: the convolution's own output is used beside its norm."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return (self.norm(y) + y).flatten(1)


class Tokens(nn.Module):
    """Where the norm's channels are not the linear map's outputs: as many tokens as features."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.norm = nn.Linear(3, 5), nn.BatchNorm1d(5)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.linear(x)).flatten(1)


class Rows(nn.Module):
    """A linear map on rows, normed feature by feature: two dimensions, so it folds."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Linear(6, 5), nn.BatchNorm1d(5)
        self.second, self.norm2 = nn.Linear(5, 4, bias=False), nn.BatchNorm1d(4, affine=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm2(self.second(torch.relu(self.norm(self.first(x)))))


@pytest.mark.parametrize(
    ("make", "shape", "norms_left"),
    [(Shared, (4, 2, 6, 6), 1), (Tokens, (4, 5, 3), 1), (Rows, (4, 6), 0)],
)
def test_only_where_it_is_the_same_function(
    make: Callable[[], nn.Module], shape: tuple[int, ...], norms_left: int, tmp_path: Path
) -> None:
    case = exported(lambda: seeded(make), (torch.randn(shape),), tmp_path)
    names = _operators(case.network(), case.point, *case.inputs)
    assert sum("batch_norm" in name for name in names) == norms_left
    plain = _outputs(case.network(fold=False), case.point, *case.inputs)
    short = _outputs(case.network(), case.point, *case.inputs)
    assert torch.allclose(plain, short, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_folded_weights_keep_type_and_memory_format(dtype: torch.dtype) -> None:
    weight = torch.randn(4, 3, 3, 3).to(dtype).to(memory_format=torch.channels_last)
    ones = torch.ones(4, dtype=dtype)
    new, shift = folded(weight, None, 2 * ones, ones, ones, 3 * ones, 1.0, 0)
    assert new.dtype == shift.dtype == dtype
    assert new.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(new, weight)  # γ/√(σ²+ε) = 2/√4 = 1
    assert torch.equal(shift, 0 * ones)  # (0 − 1)·1 + 1
