"""What every kind's `prepare` has: the directions made, and the answer put together.

Owns what is decided once for a whole job, so that no value depends on which worker computes it.
What can move a value's bits is decided by rules, and the plan records it for every other worker;
clocks tell how long the work will take and nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from service.domain.counted import Counted
from service.domain.digests import digest_bytes
from service.domain.plan import MemoryPlan, PrecisionErrorPlan, RecalibrationPlan
from workers.computation import tensors
from workers.computation.context import JobContext
from workers.computation.directions import Made, make_direction, read_direction
from workers.computation.networks import networks_on
from workers.engine.counting import Counting
from workers.engine.direction import Direction, geometry, norm, orthogonalise
from workers.engine.placement import BufferPolicy
from workers.engine.recalibration import Recalibration, plan_recalibration
from workers.protocol import AskedDirection, MessagePart, Prepare, Prepared, ReadyDirection


@dataclass(frozen=True)
class Directions:
    """A job's directions by axis.

    Attributes:
        made: before they were made orthogonal to each other.
        used: as the job uses them.
        objects: safetensors of those.
        about: what is known of how each came to be.
    """

    made: Mapping[str, Direction]
    used: Mapping[str, Direction]
    objects: Mapping[str, bytes]
    about: Mapping[str, Mapping[str, float | bool]]
    orthogonalised: bool

    @property
    def digests(self) -> dict[str, str]:
        """Of the objects, by axis."""
        return {axis: digest_bytes(data) for axis, data in self.objects.items()}


def made_directions(
    context: JobContext, request: Prepare, found: Mapping[str, Direction]
) -> Directions:
    """Makes the directions of a request, or reads those that are ready.

    Args:
        found: by axis, instead of what would be made.
    Raises:
        Problem, EngineError: an input is not usable.
    """
    known = {
        axis: Made(found[axis])
        if axis in found and isinstance(asked, AskedDirection)
        else _direction(context, axis, asked)
        for axis, asked in request.directions.items()
    }
    made = {axis: item.direction for axis, item in known.items()}
    used = dict(made)
    orthogonalised = request.orthogonalise and "y" in used
    if orthogonalised:
        used["y"] = orthogonalise(used["y"], used["x"]).to(torch.float32)
    return Directions(
        made=made,
        used=used,
        objects={axis: tensors.encode_direction(item) for axis, item in used.items()},
        about={axis: item.about for axis, item in known.items()},
        orthogonalised=orthogonalised,
    )


def answered(
    context: JobContext,
    request: Prepare,
    directions: Directions,
    *,
    batch_size: int,
    channels_last: bool,
    combine_first: bool,
    recalibration: Recalibration | None,
    cell_seconds: float,
    memory: MemoryPlan,
    precision_error: PrecisionErrorPlan | None,
    countings: Sequence[Counting],
    part: MessagePart | None,
) -> Prepared:
    """The answer to a request to prepare."""
    used = directions.used
    shape = geometry(used["x"], used.get("y")) if "x" in used else None
    cosine = shape.cosine if shape else None
    return Prepared(
        axes=tuple(sorted(directions.objects)),
        own=("y",) if directions.orthogonalised else (),
        norms={axis: norm(direction) for axis, direction in used.items()},
        about={axis: dict(about) for axis, about in directions.about.items()},
        cosine=cosine if cosine is not None and math.isfinite(cosine) else None,
        orthogonalised=directions.orthogonalised,
        batch_size=batch_size,
        channels_last=channels_last,
        combine_first=combine_first,
        recalibration=(
            None if recalibration is None else RecalibrationPlan(**asdict(recalibration))
        ),
        cell_seconds=cell_seconds,
        memory=memory,
        precision_error=precision_error,
        device=context.device.type,
        networks=networks_on(context, request.networks, directions.made, used),
        counted=tuple(Counted.model_validate(counting.to_json()) for counting in countings),
        part=part,
    )


def recalibration_of(context: JobContext) -> Recalibration | None:
    """From what running statistics are recomputed, where the job asks for that."""
    if context.buffers is not BufferPolicy.RECALIBRATE:
        return None
    return plan_recalibration(
        context.setting(1), context.origin, context.datasets[0], context.recalibration_samples
    )


def _direction(context: JobContext, axis: str, asked: ReadyDirection | AskedDirection) -> Made:
    if isinstance(asked, ReadyDirection):
        return Made(read_direction(context, Path(asked.materialised)))
    path = None if asked.object is None else Path(asked.object)
    origin = context.origin if asked.origin is None else context.points[asked.origin]
    return make_direction(context, axis, asked.spec, path, origin=origin)
