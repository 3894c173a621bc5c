"""A direction in weight space, its length, its angle to another, and making two orthogonal.

Owns the value and its geometry; the kinds of direction are made in `directions`, scaled in
`normalisation`. Everything here is float64 on the CPU.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(frozen=True)
class Direction:
    """Tensors with the parameters' names and shapes, in the network's order.

    Attributes:
        parameters: one tensor per parameter.
        buffers: how floating buffers move along the direction; empty where they do not.
    """

    parameters: Mapping[str, Tensor]
    buffers: Mapping[str, Tensor] = field(default_factory=dict)

    def to(self, dtype: torch.dtype) -> Direction:
        """The same direction rounded to `dtype`, as it is stored and used."""
        return Direction(
            {name: tensor.to(dtype) for name, tensor in self.parameters.items()},
            {name: tensor.to(dtype) for name, tensor in self.buffers.items()},
        )


@dataclass(frozen=True)
class Geometry:
    """What every result reports of its directions, over the parameters, in float64.

    Attributes:
        norms: Euclidean length of each direction.
        cosine: of the angle between the two; None for a single direction, NaN where one is zero.
    """

    norms: tuple[float, ...]
    cosine: float | None


def geometry(x: Direction, y: Direction | None = None) -> Geometry:
    """Lengths and angle of one or two directions, summed in float64 whatever their type."""
    norm_x = norm(x)
    if y is None:
        return Geometry((norm_x,), None)
    norm_y = norm(y)
    scale = norm_x * norm_y
    return Geometry((norm_x, norm_y), inner(x, y) / scale if scale > 0 else math.nan)


def inner(x: Direction, y: Direction) -> float:
    """⟨x, y⟩ over the parameters, in float64."""
    return math.fsum(
        float(torch.dot(_flat(tensor), _flat(y.parameters[name])))
        for name, tensor in x.parameters.items()
    )


def norm(x: Direction) -> float:
    """‖x‖ over the parameters, in float64."""
    return math.sqrt(
        math.fsum(float(torch.dot(f, f)) for f in (_flat(t) for t in x.parameters.values()))
    )


def orthogonalise(y: Direction, x: Direction) -> Direction:
    """y without its component along x (Gram–Schmidt, done twice so that rounding is removed too).

    y is not rescaled, so it gets shorter, and a filter-normalised y is no longer exactly so. If x
    is zero, y is returned as it was. Buffers are left alone.
    """
    square = inner(x, x)
    if square == 0:
        return y
    for _ in range(2):
        share = inner(x, y) / square
        y = Direction(
            {
                name: tensor.to(torch.float64) - share * x.parameters[name].to(torch.float64)
                for name, tensor in y.parameters.items()
            },
            y.buffers,
        )
    return y


def _flat(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", torch.float64).reshape(-1)
