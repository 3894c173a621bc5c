"""A trajectory in a child: its plane is found from the checkpoints' files.

Owns what `prepare` says of a path. The arithmetic is the engine's; no more than one checkpoint is
held besides the origin.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Final

import torch
from torch import Tensor

from workers.computation import tensors
from workers.computation.context import JobContext
from workers.computation.grid import Ahead, GridHalf
from workers.engine.checkpoint_files import CheckpointFiles
from workers.engine.direction import Direction
from workers.engine.network import is_floating
from workers.engine.normalisation import ignorable, parameter_kind
from workers.engine.trajectory import (
    Centring,
    PrincipalPlane,
    path_extent,
    principal_plane,
    random_plane_share,
)
from workers.protocol import Prepare
from workers.questions.trajectory.messages import AskedPath, FoundPath


class PathHalf(GridHalf):
    """Cells lie in the plane of the path's principal components."""

    prepare_part: ClassVar = AskedPath

    def ahead(self, request: Prepare) -> Ahead:
        directions, found = find_path(self.context, request.of(AskedPath))
        rows = found.coordinates
        # beginning and end
        return Ahead(directions, found, (rows[0], rows[len(rows) // 2], (0.0, 0.0)))


HALF: Final = PathHalf


def find_path(context: JobContext, request: AskedPath) -> tuple[dict[str, Direction], FoundPath]:
    """The axes of a path's principal plane (float32, with the buffers' part), and its numbers.

    Raises:
        InputInvalid: the checkpoints span no plane, or hold values that are not finite.
        ParametersInvalid: a file does not hold the network's parameters.
    """
    network = context.network
    paths = [Path(path) for path in request.paths]
    files = CheckpointFiles(network, paths)
    left_out = ignorable(sorted(request.exclude))
    names = [n for n in network.parameters if parameter_kind(network, n) not in left_out]
    plane = principal_plane(
        network,
        files,
        centre=request.centre,
        centring=Centring(request.centring),
        names=names,
    )
    seeds = range(request.random_planes)
    shares = (
        random_plane_share(network, files, seeds, centre=request.centre, names=names).tolist()
        if seeds
        else []
    )
    projection = plane.projection
    found = FoundPath(
        coordinates=tuple((a, b) for a, b in projection.coordinates.tolist()),
        residuals=tuple(projection.residuals.tolist()),
        distances=tuple(projection.distances.tolist()),
        explained_variance=tuple(plane.explained_variance.tolist()),
        share=projection.share,
        random_shares=tuple(shares),
        extent=path_extent(projection.coordinates, request.margin),
        excluded=tuple(name for name in network.parameters if name not in set(names)),
    )
    return _with_buffers(context, plane, paths, request.centre), found


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
