"""3×3 convolutions with fewer multiplications: Winograd's F(2×2, 3×3).

Two by two neighbouring outputs of one channel take 4 · 9 multiplications by the definition and 16
by Lavin and Gray 2016 (arXiv 1509.09308, section 4.1): Y = Aᵀ[(GgGᵀ) ⊙ (BᵀdB)]A over 4×4 inputs d,
where ⊙, summed over input channels, is 16 products of matrices. What is saved pays for the passes
over memory that Bᵀ…B and Aᵀ…A take only where there are many channels: so it is decided by the
numbers of channels alone, never by a stopwatch, and every worker computes the same bits.

It is as exact as the definition in float32, whose sums are 9 times as long as each product here.
What is no finite number would spread over its tile: images with any are computed by the definition,
so which outputs are NaN or infinite is as it was.

Owns the transforms and which convolutions they serve; `fusing` calls it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from workers.program.products import product

#: Channels in and out from which on the products' saving counts for more than the passes.
_LEAST_CHANNELS: Final = 128
#: Rows and columns: of smaller images the definition skips so many zeros that nothing is saved.
_LEAST_SIZE: Final = 4
#: Of inputs that are transformed at a time, so that what lies between stays in the cache.
_CHUNK_BYTES: Final = 4 << 20


@dataclass(frozen=True)
class TransformedWeights:
    """GgGᵀ for each pair of channels.

    Attributes:
        planes: `planes[i][j]`, shape (out, in), row i and column j of the 4×4.
        direct: the weights as they are, shape (out, in, 3, 3).
    """

    planes: tuple[tuple[Tensor, ...], ...]
    direct: Tensor


def is_wide(weight: Tensor) -> bool:
    """Whether a weight's shape is that of a 3×3 convolution of so many channels."""
    return (
        weight.dim() == 4
        and tuple(weight.shape[2:]) == (3, 3)
        and min(weight.shape[:2]) >= _LEAST_CHANNELS
    )


def serves(
    weight: Tensor,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
) -> bool:
    """Whether convolutions by these weights are to be computed this way."""
    return (
        weight.dtype is torch.float32
        and is_wide(weight)
        and groups == 1
        and all(n == 1 for n in (*stride, *padding, *dilation))
    )


def suits(x: Tensor) -> bool:
    """Whether an input's memory format and size do: channels last, and not tiny."""
    return (
        x.dtype is torch.float32
        and x.dim() == 4
        and min(x.shape[2:]) >= _LEAST_SIZE
        and x.is_contiguous(memory_format=torch.channels_last)
    )


def transformed(weight: Tensor) -> TransformedWeights:
    """GgGᵀ, once for each point in weight space."""
    rows = [_kernel_transform(*row.unbind(-1)) for row in _kernel_transform(*weight.unbind(2))]
    return TransformedWeights(
        tuple(tuple(plane.contiguous() for plane in row) for row in rows), weight
    )


def convolution(weights: TransformedWeights, x: Tensor, bias: Tensor | None) -> Tensor:
    """x, shape (samples, in, height, width), convolved with padding 1; channels last.

    Args:
        bias: shape (out,), or none.
    """
    samples, _, height, width = x.shape
    even = x
    if height % 2 or width % 2:
        even = torch.constant_pad_nd(x, (0, width % 2, 0, height % 2))
    images = even.permute(0, 2, 3, 1)
    result = images.new_empty((*images.shape[:3], len(weights.direct)))
    step = max(1, _CHUNK_BYTES // (images[:1].numel() * images.element_size()))
    for start in range(0, samples, step):
        part = result[start : start + step]
        _convolve(weights, images[start : start + step], bias, part)
        if not bool(part.sum().isfinite()):
            plain = torch.conv2d(x[start : start + step], weights.direct, bias, padding=1)
            part[:, :height, :width].copy_(plain.permute(0, 2, 3, 1))
    return result[:, :height, :width].contiguous().permute(0, 3, 1, 2)


def _convolve(
    weights: TransformedWeights, images: Tensor, bias: Tensor | None, result: Tensor
) -> None:
    """Images of even size, channels last in shape too: (samples, height, width, channels)."""
    samples, height, width, channels = images.shape
    tall, wide = height // 2, width // 2
    rows = images.new_empty((4, samples, tall, width, channels))
    _input_transform(images[:, 0::2], images[:, 1::2], rows, 1)
    tiles = images.new_empty((4, samples, tall, wide, channels))
    left, right = [], []
    for row, planes in zip(rows, weights.planes, strict=True):
        _input_transform(row[:, :, 0::2], row[:, :, 1::2], tiles, 2)
        products = [
            product(tile.view(-1, channels), plane)
            for tile, plane in zip(tiles, planes, strict=True)
        ]
        first, second = _output_transform(*products)
        left.append(first.view(samples, tall, wide, -1))
        right.append(second.view(samples, tall, wide, -1))
    for side, columns in ((left, result[:, :, 0::2]), (right, result[:, :, 1::2])):
        first, second, third, fourth = side
        total, difference = second + third, second.sub_(third)
        if bias is not None:
            first.add_(bias)
            difference.add_(bias)
        torch.add(first, total, out=columns[:, 0::2])
        torch.sub(difference, fourth, out=columns[:, 1::2])


def _input_transform(even: Tensor, odd: Tensor, out: Tensor, axis: int) -> None:
    """Bᵀd along one axis: d₀ − d₂, d₁ + d₂, d₂ − d₁ and d₁ − d₃ of every tile.

    A tile's d₁ and d₂ are its two own positions, `even` and `odd`; d₀ is the one before them and d₃
    the one after, zero beyond the edge.
    """
    last = even.shape[axis] - 1
    torch.sub(
        odd.narrow(axis, 0, last), odd.narrow(axis, 1, last), out=out[0].narrow(axis, 1, last)
    )
    torch.neg(odd.narrow(axis, 0, 1), out=out[0].narrow(axis, 0, 1))
    torch.add(even, odd, out=out[1])
    torch.sub(odd, even, out=out[2])
    torch.sub(
        even.narrow(axis, 0, last), even.narrow(axis, 1, last), out=out[3].narrow(axis, 0, last)
    )
    out[3].narrow(axis, last, 1).copy_(even.narrow(axis, last, 1))


def _output_transform(a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> tuple[Tensor, Tensor]:
    """Aᵀm along one axis: m₀ + m₁ + m₂ and m₁ − m₂ − m₃, in the memory of a and b."""
    total = b + c
    return a.add_(total), b.sub_(c).sub_(d)


def _kernel_transform(a: Tensor, b: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gg along one axis."""
    outer, inner = (a + c) / 2, b / 2
    return a, outer + inner, outer - inner, c
