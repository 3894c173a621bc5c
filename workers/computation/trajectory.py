"""A trajectory's plane, found in the child, and its checkpoints read when their turn comes.

Owns what `prepare` says of a path. The arithmetic is the engine's; no more than one checkpoint is
held besides the origin.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from workers.computation import tensors
from workers.computation.context import JobContext
from workers.engine.checkpoint_files import CheckpointFiles
from workers.engine.direction import Direction
from workers.engine.network import Point, is_floating, split_point
from workers.engine.normalisation import ignorable, parameter_kind
from workers.engine.trajectory import (
    Centring,
    PrincipalPlane,
    path_extent,
    principal_plane,
    random_plane_share,
)


@dataclass(frozen=True)
class FoundPath:
    """The axes (float32, with the buffers' part), and the plan's numbers as plain JSON."""

    directions: Mapping[str, Direction]
    body: Mapping[str, Any]


def find_path(context: JobContext, request: Mapping[str, Any]) -> FoundPath:
    """The principal plane of `{paths, centre, centring, exclude, random_planes, margin}`.

    Raises:
        InputInvalid: the checkpoints span no plane, or hold values that are not finite.
        ParametersInvalid: a file does not hold the network's parameters.
    """
    network = context.network
    paths = [Path(path) for path in request["paths"]]
    files = CheckpointFiles(network, paths)
    left_out = ignorable(request["exclude"])
    names = [n for n in network.parameters if parameter_kind(network, n) not in left_out]
    centre = int(request["centre"])
    plane = principal_plane(
        network, files, centre=centre, centring=Centring(request["centring"]), names=names
    )
    seeds = range(int(request["random_planes"]))
    shares = (
        random_plane_share(network, files, seeds, centre=centre, names=names).tolist()
        if seeds
        else []
    )
    projection = plane.projection
    return FoundPath(
        directions=_with_buffers(context, plane, paths, centre),
        body={
            "coordinates": projection.coordinates.tolist(),
            "residuals": projection.residuals.tolist(),
            "distances": projection.distances.tolist(),
            "explained_variance": plane.explained_variance.tolist(),
            "share": projection.share,
            "random_shares": shares,
            "extent": path_extent(projection.coordinates, float(request["margin"])),
            "excluded": [name for name in network.parameters if name not in set(names)],
        },
    )


def _with_buffers(
    context: JobContext, plane: PrincipalPlane, paths: Sequence[Path], centre: int
) -> dict[str, Direction]:
    """Each axis with the same combination of the checkpoints' buffers as of their parameters.

    It is used where buffers move along the directions, and read by nobody otherwise.
    """
    network = context.network
    names = [name for name, spec in network.buffers.items() if is_floating(spec)]
    axes = {"x": plane.x, "y": plane.y}
    if not names:
        return axes
    base = _buffers(context, paths[centre], names)
    moved = {axis: {n: torch.zeros_like(t) for n, t in base.items()} for axis in axes}
    for row, path in enumerate(paths):
        here = _buffers(context, path, names)
        for column, axis in enumerate(axes):
            for name, total in moved[axis].items():
                total.add_(here[name] - base[name], alpha=float(plane.weights[row, column]))
    return {
        axis: replace(
            direction, buffers={name: t.to(torch.float32) for name, t in moved[axis].items()}
        )
        for axis, direction in axes.items()
    }


def _buffers(context: JobContext, path: Path, names: Sequence[str]) -> dict[str, Tensor]:
    """Some buffers of a checkpoint in float64."""
    found = tensors.read_some(path, names, code="weights_invalid", what=f"checkpoint {path.name}")
    return {name: found[name].to(torch.float64) for name in names}


def read_checkpoint(context: JobContext, path: str) -> Point:
    """A checkpoint's own weights and buffers, for its true loss.

    Raises:
        Problem, ParametersInvalid: the file does not fit the network.
    """
    name = Path(path).name
    read = tensors.read(Path(path), code="weights_invalid", what=f"checkpoint {name}")
    return split_point(context.network, read)
