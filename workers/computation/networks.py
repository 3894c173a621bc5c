"""Which networks a line or plane passes through, where, and which of them it does not show.

Owns the decision that a network is evaluated itself: the point at its place would have other
buffers. Networks without running statistics never are, and cost nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import torch
from torch import Tensor

from service.domain.plan import PlannedNetwork
from workers.computation.context import JobContext
from workers.engine.direction import Direction, inner
from workers.engine.network import Point, is_floating
from workers.engine.placement import BufferPolicy
from workers.protocol import Candidate

#: Plays no part in evaluation mode.
_COUNTER: Final = "num_batches_tracked"
#: Moved buffers that come this close to a network's own, relative to the largest, are its own: a
#: direction is rounded to float32.
_ROUNDING: Final = 1e-6


def networks_on(
    context: JobContext,
    candidates: Sequence[Candidate],
    made: Mapping[str, Direction],
    used: Mapping[str, Direction],
) -> tuple[PlannedNetwork, ...]:
    """The networks and their places, `itself` where one is evaluated beside the grid; none where
    every one is what lies at its place.

    Args:
        made: directions by axis before they were made orthogonal to each other.
        used: as the job uses them.
    """
    found: list[PlannedNetwork] = []
    for candidate in candidates:
        role, axis = candidate.role, candidate.axis
        at = _place(role, axis, made, used)
        point = context.points[candidate.checkpoint]
        moves = _moves(axis, at, used)
        segment = point if role == "target" and not axis else None
        itself = not _has_buffers_of(context, point, moves, segment)
        found.append(
            PlannedNetwork(role=role, checkpoint=candidate.checkpoint, at=at, itself=itself)
        )
    return tuple(found) if any(network.itself for network in found) else ()


def _moves(
    axis: str, at: tuple[float, float], used: Mapping[str, Direction]
) -> list[tuple[float, Direction]]:
    """Along what, and how far, a point at this place is moved from the origin."""
    if not axis:
        return []
    axes = ("x", "y") if axis in ("x", "y") else (axis,)
    return [(a, used[name]) for a, name in zip(at, axes, strict=False) if name in used]


def _place(
    role: str, axis: str, made: Mapping[str, Direction], used: Mapping[str, Direction]
) -> tuple[float, float]:
    if role == "origin":
        return (0.0, 0.0)
    if axis != "y":
        return (1.0, 0.0)
    if made["y"] is used["y"]:
        return (0.0, 1.0)
    # y lost its share along x, which leads to the network all the same
    square = inner(used["x"], used["x"])
    return (inner(used["x"], made["y"]) / square if square else 0.0, 1.0)


def _has_buffers_of(
    context: JobContext,
    point: Point,
    moves: Sequence[tuple[float, Direction]],
    segment: Point | None,
) -> bool:
    """Whether what lies at the network's place has its buffers."""
    network, origin = context.network, context.origin
    if context.buffers is BufferPolicy.RECALIBRATE and getattr(network, "recalibratable", None):
        return False
    moved = context.buffers is BufferPolicy.INTERPOLATE
    for name, spec in network.buffers.items():
        if name.rpartition(".")[2] == _COUNTER:
            continue
        own, there = point.buffers[name], origin.buffers[name]
        if not moved or not is_floating(spec):
            if not torch.equal(own, there):
                return False
        elif segment is None and not _reaches(own, there, name, moves):
            return False
    return True


def _reaches(
    own: Tensor, start: Tensor, name: str, moves: Sequence[tuple[float, Direction]]
) -> bool:
    there = start.to(torch.float64)
    for coordinate, direction in moves:
        if coordinate and name in direction.buffers:
            there = there + coordinate * direction.buffers[name].to(torch.float64)
    wanted = own.to(torch.float64)
    if not wanted.numel():
        return True
    # NaN reaches nothing
    return bool((there - wanted).abs().max() <= _ROUNDING * wanted.abs().max())
