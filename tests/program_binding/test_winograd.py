"""3×3 convolutions by fewer multiplications: as exact as by the definition, statuses included."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tests.program_binding.exported import exported
from tests.program_binding.test_folding import _operators
from tests.support.module_network import seeded
from workers.engine.network import Point
from workers.program import winograd

#: Samples, channels in and out, height, width: even and odd, several chunks, tiles cut at an edge.
SHAPES = (
    (3, 128, 128, 8, 8),
    (2, 128, 160, 4, 10),
    (5, 160, 128, 7, 6),
    (2, 128, 128, 5, 9),
    (40, 128, 128, 16, 16),
)


def _made(shape: tuple[int, int, int, int, int], seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    samples, inside, outside, height, width = shape
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(samples, inside, height, width, generator=generator)
    weight = torch.randn(outside, inside, 3, 3, generator=generator) / (9 * inside) ** 0.5
    bias = torch.randn(outside, generator=generator)
    return x.contiguous(memory_format=torch.channels_last), weight, bias


def _ours(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    with torch.inference_mode():
        return winograd.convolution(winograd.transformed(weight), x, bias)


def _root_mean_square(difference: Tensor) -> float:
    return float(difference.double().square().mean().sqrt())


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("biased", [True, False])
def test_no_less_exact_than_the_definition(
    shape: tuple[int, int, int, int, int], biased: bool
) -> None:
    x, weight, bias = _made(shape)
    given = bias if biased else None
    truth = torch.conv2d(x.double(), weight.double(), bias.double() if biased else None, padding=1)
    found, plain = _ours(x, weight, given), torch.conv2d(x, weight, given, padding=1)
    assert found.shape == plain.shape
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert float((found - truth).abs().max()) < 1e-5
    assert _root_mean_square(found - truth) <= 1.1 * _root_mean_square(plain - truth)


def test_each_image_has_the_same_bits_in_every_batch() -> None:
    x, weight, bias = _made((70, 128, 128, 16, 16))
    whole = _ours(x, weight, bias)
    for start, stop in ((0, 1), (0, 32), (31, 33), (3, 70)):
        assert torch.equal(_ours(x[start:stop], weight, bias), whole[start:stop])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_is_so_where_the_definition_has_it(value: float) -> None:
    x, weight, bias = _made((40, 128, 128, 16, 16))
    x[1, 5, 3, 3], x[1, 7, 3, 4], x[39, 0, 15, 15] = value, -value, value
    found, plain = _ours(x, weight, bias), torch.conv2d(x, weight, bias, padding=1)
    assert not bool(found[1].isfinite().all())
    assert torch.equal(found.isnan(), plain.isnan())
    assert torch.equal(found.isinf(), plain.isinf())
    finite = plain.isfinite()
    assert torch.allclose(found[finite], plain[finite], rtol=1e-4, atol=1e-4)


def test_what_overflows_between_the_transforms_alone_is_what_the_definition_gives() -> None:
    x, weight, bias = _made((2, 128, 128, 8, 8))
    x[1, 5, 3, 3], x[1, 5, 3, 5] = 3e38, -3e38  # their difference is no float32
    found, plain = _ours(x, weight, bias), torch.conv2d(x, weight, bias, padding=1)
    assert bool(plain.isfinite().all())
    assert torch.equal(found, plain)


class Narrow(nn.Module):
    """Convolutions that are computed by the definition, each for one reason."""

    def __init__(self) -> None:
        super().__init__()
        self.few = nn.Conv2d(128, 64, 3, padding=1)
        self.more = nn.Conv2d(64, 128, 3, padding=1)
        self.strided = nn.Conv2d(128, 128, 3, stride=2, padding=1)
        self.grouped = nn.Conv2d(128, 256, 3, padding=1, groups=2)
        self.dilated = nn.Conv2d(256, 128, 3, padding=2, dilation=2)
        self.bare = nn.Conv2d(128, 128, 3)
        self.large = nn.Conv2d(128, 128, 5, padding=2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.grouped(self.strided(self.more(self.few(x))))
        return self.large(self.bare(self.dilated(x)))


class Wide(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(128, 128, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


@pytest.mark.parametrize("module", [Narrow, Wide])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_which_convolutions_are_computed_so(
    module: type[nn.Module], dtype: torch.dtype, tmp_path: Path
) -> None:
    x, _, _ = _made((2, 128, 128, 16, 16))
    case = exported(lambda: seeded(module), (x,), tmp_path)
    parameters = {n: t.to(dtype) for n, t in case.point.parameters.items()}
    names = _operators(case.network(), Point(parameters, {}), x.to(dtype))
    transformed = sum("linear_pointwise" in name for name in names)
    assert transformed == (16 if module is Wide and dtype is torch.float32 else 0)


def test_not_for_images_of_another_format_or_too_small(tmp_path: Path) -> None:
    x, _, _ = _made((2, 128, 128, 16, 16))
    case = exported(lambda: seeded(Wide), (x,), tmp_path)
    for images in (x.contiguous(), x[:, :, :3].contiguous(memory_format=torch.channels_last)):
        assert not winograd.suits(images)
    names = _operators(case.network(), case.point, x.contiguous())
    assert not any("linear_pointwise" in name for name in names)
    with torch.inference_mode():
        infer = case.network().at(case.point.parameters, case.point.buffers)
        assert torch.allclose(infer(x.contiguous()), infer(x), rtol=1e-5, atol=1e-5)
