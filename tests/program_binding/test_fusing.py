"""Calls rewritten for a CPU: the same values, NaN included, and nothing written over that is read.

Every case is run twice on the same inputs: what a rewrite spoils shows in the second run.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.benchmarks.networks import ResNet
from tests.program_binding.exported import Case, exported
from tests.program_binding.test_folding import _operators
from tests.support.module_network import seeded
from workers.engine.activations import peak_activation_bytes
from workers.engine.network import Point
from workers.program.fusing import (
    OrderedWeights,
    convolution,
    in_order,
    linear,
    relu_in_place,
)


class Sums(nn.Module):
    """Sums and ReLUs whose arguments are read before, after, or through views."""

    def __init__(self, forward: Callable[[Sums, Tensor], Tensor]) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.narrow = nn.Conv2d(4, 1, 1)
        self.shift = nn.Parameter(torch.randn(1, 4, 8, 8))
        self.rule = forward

    def forward(self, x: Tensor) -> Tensor:
        return self.rule(self, x)


def _read_again(m: Sums, x: Tensor) -> Tensor:
    first = m.a(x)
    return F.relu(m.b(first) + first) + first


def _own_input(m: Sums, x: Tensor) -> Tensor:
    first = F.relu(m.a(x))
    return F.relu(first + m.b(first))


def _view_kept(m: Sums, x: Tensor) -> Tensor:
    first = m.a(x)
    part = first[:, :2]
    second = F.relu(first)
    return m.b(second).flatten(1).sum(1, keepdim=True) + part.flatten(1)


def _input_itself(m: Sums, x: Tensor) -> Tensor:
    return F.relu(m.a(x) + x) + F.relu(x)


def _broadcast(m: Sums, x: Tensor) -> Tensor:
    return F.relu(m.narrow(x) + m.a(x)) + m.narrow(F.relu(m.b(x)))


def _of_the_point(m: Sums, x: Tensor) -> Tensor:
    moved = m.shift + m.shift
    return F.relu(m.a(x) + moved) + moved


def _twice(m: Sums, x: Tensor) -> Tensor:
    first = m.a(x)
    return first + first


def _gated(m: Sums, x: Tensor) -> Tensor:
    first = m.a(x)
    gate = first.mean((2, 3), keepdim=True).sigmoid()
    return gate * F.hardtanh(first) * F.silu(m.b(x)) + m.shift


def _swish_by_hand(m: Sums, x: Tensor) -> Tensor:
    first = m.a(x)
    return m.b(first * torch.sigmoid(first)) * first


def _activations(m: Sums, x: Tensor) -> Tensor:
    first = m.a(x)
    kept = F.elu(first, 0.5) + F.gelu(first, approximate="tanh")
    second = F.leaky_relu(F.hardswish(m.b(F.relu6(kept.tanh()))), 0.3)
    part = second.flatten(2)
    return torch.sigmoid(second) * F.hardsigmoid(second) + part.sum(2)[:, :, None, None]


def _narrow_first(m: Sums, x: Tensor) -> Tensor:
    return m.narrow(F.silu(m.a(x))) * F.gelu(m.b(x))


def _returned(m: Sums, x: Tensor) -> Tensor:
    return m.a(F.relu(x)) + m.b(x)


CASES = {
    rule.__name__.strip("_"): rule
    for rule in (
        _read_again,
        _own_input,
        _view_kept,
        _input_itself,
        _broadcast,
        _of_the_point,
        _twice,
        _gated,
        _swish_by_hand,
        _activations,
        _narrow_first,
        _returned,
    )
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("channels_last", [True, False])
def test_values_stay_and_nothing_is_spoilt(name: str, channels_last: bool, tmp_path: Path) -> None:
    images = torch.randn(5, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    case = exported(lambda: seeded(lambda: Sums(CASES[name])), (images,), tmp_path)
    point, given = case.point, images
    if channels_last:
        given = images.contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        infer = case.network().at(point.parameters, point.buffers)
        first = infer(given).clone()
        second = infer(given)
    assert torch.equal(given, images)
    assert torch.equal(first, second)
    assert torch.allclose(first, case.eager(images), rtol=1e-5, atol=1e-5)


@pytest.fixture(scope="module")
def resnet(tmp_path_factory: pytest.TempPathFactory) -> Case:
    images = torch.randn(6, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    folder = tmp_path_factory.mktemp("fusing")
    return exported(lambda: seeded(lambda: ResNet(14)), (images,), folder)


def test_a_residual_networks_sums_are_its_convolutions(resnet: Case) -> None:
    """Identity skips, their empty paddings and whole slices included, cost no pass of their own."""
    images = resnet.inputs[0].contiguous(memory_format=torch.channels_last)
    names = _operators(resnet.network(), resnet.point, images)
    joined = sum("_convolution_pointwise_" in name for name in names)
    assert joined == 6
    assert not any("add" in name for name in names)
    assert sum("pad" in name for name in names) == 2


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_is_no_number_in_the_middle_is_none_at_the_end(
    resnet: Case, dtype: torch.dtype, value: float
) -> None:
    point = resnet.point
    name = next(n for n in point.parameters if n.endswith("blocks.1.conv2.weight"))
    weight = point.parameters[name].clone()
    weight[0, 0, 1, 1] = value
    cast = Point(
        {n: t.to(dtype) for n, t in {**point.parameters, name: weight}.items()},
        {n: t.to(dtype) if t.is_floating_point() else t for n, t in point.buffers.items()},
    )
    images = resnet.inputs[0].to(dtype).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        outputs = resnet.network().at(cast.parameters, cast.buffers)(images)
    assert bool(outputs.isnan().any())


def test_a_relu_in_place_is_the_relu_for_every_bfloat16() -> None:
    every = torch.arange(-(1 << 15), 1 << 15, dtype=torch.int32).to(torch.int16)
    values = every.view(torch.bfloat16)
    wanted, found = torch.relu(values.float()), relu_in_place(values.clone()).float()
    assert torch.equal(wanted.isnan(), found.isnan())
    assert torch.equal(wanted.nan_to_num(), found.nan_to_num())


@pytest.mark.parametrize("samples", [1, 7, 64, 300])
@pytest.mark.parametrize("positions", [(), (5,)])
def test_linear_maps_are_as_exact_as_pytorchs(samples: int, positions: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(samples)
    x = torch.randn(samples, *positions, 700, generator=generator)
    weight = torch.randn(33, 700, generator=generator)
    bias = torch.randn(33, generator=generator)
    truth = F.linear(x.double(), weight.double(), bias.double())
    theirs = float((F.linear(x, weight, bias).double() - truth).abs().max())
    ours = float((linear(x, weight, bias).double() - truth).abs().max())
    assert ours <= 4 * theirs + 1e-5
    assert torch.equal(linear(x, weight, None).isnan(), torch.zeros_like(truth).bool())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_linear_map_of_an_argument_in_another_order_is_one_product(dtype: torch.dtype) -> None:
    """What attention with its batch in the second place takes."""
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(8, 50, 96, generator=generator).to(dtype).transpose(0, 1)
    weight = torch.randn(288, 96, generator=generator).to(dtype)
    bias = torch.randn(288, generator=generator).to(dtype)
    tolerance = 1e-5 if dtype is torch.float32 else 2e-2
    wanted = F.linear(x.double(), weight.double(), bias.double())
    with torch.inference_mode(), torch.profiler.profile() as profile:
        found = linear(x, weight, bias)
    assert torch.allclose(found.double(), wanted, rtol=tolerance, atol=tolerance * 10)
    products = {e.key: e.count for e in profile.key_averages() if "linear_pointwise" in e.key}
    assert products == {"mkldnn::_linear_pointwise": 1}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_weights_are_put_in_order_for_the_images_that_come(dtype: torch.dtype) -> None:
    """Once for each size: for no size in particular the order may suit none."""
    generator = torch.Generator().manual_seed(6)
    weight = (torch.randn(384, 192, 3, 3, generator=generator) / 40).to(dtype)
    bias = torch.randn(384, generator=generator).to(dtype)
    geometry = ((2, 2), (1, 1), (1, 1), 1)
    with torch.inference_mode():
        ordered = in_order(weight, *geometry)
        assert isinstance(ordered, OrderedWeights)
        for size in (3, 6, 3):
            images = torch.randn(5, 192, size, size, generator=generator).to(dtype)
            images = images.contiguous(memory_format=torch.channels_last)
            made = ordered.suiting(images)
            assert ordered.suiting(images[:2]) is made
            found = convolution(ordered, images, weight, bias, *geometry)
            wanted = torch.conv2d(images.double(), weight.double(), bias.double(), *geometry)
            tolerance = 1e-5 if dtype is torch.float32 else 3e-2
            assert torch.allclose(found.double(), wanted, rtol=tolerance, atol=tolerance)


def test_activations_and_gates_write_over_what_nobody_reads(tmp_path: Path) -> None:
    images = torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(4))
    case = exported(lambda: seeded(lambda: Sums(_gated)), (images,), tmp_path)
    names = _operators(case.network(), case.point, images)
    over = {"hardtanh_", "silu_", "sigmoid_", "mul_"}
    assert over <= {name.split(".")[1] for name in names}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("name", ["gated", "swish_by_hand", "activations", "narrow_first"])
def test_activations_keep_what_is_no_number(name: str, value: float, tmp_path: Path) -> None:
    images = torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(4))
    case = exported(lambda: seeded(lambda: Sums(CASES[name])), (images,), tmp_path)
    images[1, 2, 3, 4] = value
    with torch.inference_mode():
        found = case.network().at(case.point.parameters, case.point.buffers)(images)
    wanted = case.eager(images)
    assert torch.equal(found.isnan(), wanted.isnan())
    assert torch.equal(found.isinf(), wanted.isinf())
    assert not bool(wanted.isfinite().all())


class Wide(nn.Module):
    """Convolutions with many weights: by themselves, added to a skip, and with a stride."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = (nn.Conv2d(192, 192, 3, padding=1) for _ in range(2))
        self.c = nn.Conv2d(192, 192, 3, stride=2, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        first = F.relu(self.a(x))
        return self.c(F.relu(self.b(first.tanh()) + first))


@pytest.mark.parametrize("channels_last", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_weights_in_order_give_the_same_values(
    dtype: torch.dtype, channels_last: bool, tmp_path: Path
) -> None:
    images = torch.randn(5, 192, 6, 6, generator=torch.Generator().manual_seed(3))
    case = exported(lambda: seeded(Wide), (images,), tmp_path)
    wanted = case.eager(images)
    given = images.to(dtype)
    if channels_last:
        given = given.contiguous(memory_format=torch.channels_last)
    parameters = {n: t.to(dtype) for n, t in case.point.parameters.items()}
    with torch.inference_mode():
        infer = case.network().at(parameters, {})
        for count in (5, 1, 5):
            found = infer(given[:count]).float()
            tolerance = 1e-5 if dtype is torch.float32 else 3e-2
            assert torch.allclose(found, wanted[:count], rtol=tolerance, atol=tolerance)
        peak = peak_activation_bytes(infer, (given,))
    # three of the width's maps at most are alive at once, and a kernel's copy of one; or what lies
    # between transforms, of as many images as fit into the cache
    between = 6 if dtype is torch.float32 and channels_last else 0
    assert 2 * given.nbytes <= peak <= (4 + between) * given.nbytes
    if channels_last:
        names = _operators(case.network(), Point(parameters, {}), given)
        # in float32 those without a stride are `winograd`'s
        transformed = 2 if dtype is torch.float32 else 0
        assert sum("_convolution_pointwise" in name for name in names) == 3 - transformed
        assert sum("linear_pointwise" in name for name in names) == 16 * transformed
