"""The kinds of direction that need no curvature and no trajectory: random, between, uploaded.

Owns how each comes to be, before any scaling. Random ones are float64 on the CPU, so that the
same seed gives the same direction on every machine and device.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from workers.engine.direction import Direction
from workers.engine.errors import DirectionInvalid
from workers.engine.gaussian import standard_gaussians
from workers.engine.network import Network, Point, is_floating


def random_direction(network: Network, seed: int, axis: str) -> Direction:
    """Independent standard Gaussians, reproducible from (seed, axis, parameter name, shape).

    `axis` is "x" or "y" for the two of a plane; one seed gives unrelated directions on each axis.
    """
    return Direction(
        {
            name: torch.from_numpy(standard_gaussians(seed, axis, name, spec.shape))
            for name, spec in network.parameters.items()
        }
    )


def between(network: Network, start: Point, end: Point) -> Direction:
    """θ_end − θ_start, with the difference of the floating buffers for `interpolate`."""
    return Direction(
        {name: _difference(end.parameters, start.parameters, name) for name in network.parameters},
        {
            name: _difference(end.buffers, start.buffers, name)
            for name, spec in network.buffers.items()
            if is_floating(spec)
        },
    )


def uploaded(network: Network, tensors: Mapping[str, Tensor]) -> Direction:
    """A direction given by name: every parameter, and any floating buffers that should move.

    Raises:
        DirectionInvalid: a parameter is missing, a name is unknown, a shape or type is wrong, or a
            value is not finite.
    """
    missing = [name for name in network.parameters if name not in tensors]
    if missing:
        raise DirectionInvalid(
            f"the direction lacks {missing[0]!r}"
            + (f" and {len(missing) - 1} more parameters" if len(missing) > 1 else "")
            + "; give zeros for what should not move"
        )
    for name, tensor in tensors.items():
        spec = network.parameters.get(name) or network.buffers.get(name)
        if spec is None:
            raise DirectionInvalid(f"the network has no tensor named {name!r}")
        if name in network.buffers and not is_floating(spec):
            raise DirectionInvalid(f"buffer {name!r} holds whole numbers and cannot be moved")
        if tuple(tensor.shape) != tuple(spec.shape):
            raise DirectionInvalid(
                f"{name!r} has shape {tuple(tensor.shape)} in the direction and "
                f"{tuple(spec.shape)} in the network"
            )
        if not tensor.is_floating_point():
            raise DirectionInvalid(f"{name!r} is {tensor.dtype}, not a floating type")
        if not bool(torch.isfinite(tensor).all()):
            raise DirectionInvalid(f"{name!r} holds values that are not finite")
    return Direction(
        {name: tensors[name] for name in network.parameters},
        {name: tensors[name] for name in network.buffers if name in tensors},
    )


def from_vector(network: Network, views: Mapping[str, Tensor]) -> Direction:
    """A direction from tensors that an algorithm computed; parameters it left out do not move."""
    return Direction(
        {
            name: (
                views[name].detach().to("cpu", torch.float64).clone()
                if name in views
                else torch.zeros(spec.shape, dtype=torch.float64)
            )
            for name, spec in network.parameters.items()
        }
    )


def _difference(end: Mapping[str, Tensor], start: Mapping[str, Tensor], name: str) -> Tensor:
    return end[name].detach().to("cpu", torch.float64) - start[name].detach().to(
        "cpu", torch.float64
    )
