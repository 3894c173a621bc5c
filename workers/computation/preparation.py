"""`prepare`: validate everything, make the directions, choose the batch size, time a cell.

Owns what is decided once for a whole job, so that no value depends on which worker computes it.
The batch size follows from the network and the device's kind by rule, never from a stopwatch:
the same job prepared twice gives the same bits.
"""

from __future__ import annotations

import math
import resource
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import torch

from service.domain.digests import digest_bytes
from workers.computation import tensors
from workers.computation.context import JobContext
from workers.computation.curvature import Question, choose
from workers.computation.directions import Made, make_direction, read_direction
from workers.computation.evaluators import Space, build_evaluator, cell
from workers.computation.trajectory import find_path
from workers.engine.batching import activation_bytes_per_sample
from workers.engine.direction import Direction, geometry, norm, orthogonalise
from workers.engine.errors import MemoryExceeded
from workers.engine.placement import BufferPolicy
from workers.engine.recalibration import Recalibration, plan_recalibration
from workers.engine.surface import CellEvaluator

#: Activations of one batch: what the caches of a CPU hold, or what keeps a GPU's cores busy.
_CPU_BATCH_BYTES: Final = 32 << 20
_CUDA_BATCH_BYTES: Final = 512 << 20
_SMALLEST_BATCH: Final = 16
_LARGEST_CPU_BATCH: Final = 1024
_LARGEST_CUDA_BATCH: Final = 4096
#: A cell that takes longer than this is timed once only.
_TIMED_TWICE_SECONDS: Final = 2.0


@dataclass(frozen=True)
class Prepared:
    """What the supervisor writes into the plan, and the evaluator the child keeps.

    Attributes:
        objects: safetensors of the directions by axis; only those made here.
        recordable: axes whose object is the direction exactly as its spec says (an orthogonalised
            y is this job's own).
    """

    space: Space
    evaluator: CellEvaluator | None
    objects: Mapping[str, bytes]
    body: Mapping[str, Any]


def prepare(context: JobContext, request: Mapping[str, Any]) -> Prepared:
    """Carries out a `prepare` request: `{directions: {axis: {spec, origin, object} or
    {materialised}},
    orthogonalise, target, trajectory, curvature}`; a trajectory's axes are its principal
    components, a single point's curvature has none.

    Raises:
        Problem, EngineError: an input is not usable; MemoryExceeded when one sample is too much.
    """
    path = find_path(context, request["trajectory"]) if request.get("trajectory") else None
    found = {} if path is None else path.directions
    known = {
        axis: Made(found[axis])
        if axis in found and not entry.get("materialised")
        else _direction(context, axis, entry)
        for axis, entry in request["directions"].items()
    }
    made = {axis: item.direction for axis, item in known.items()}
    recordable = {axis: tensors.encode_direction(direction) for axis, direction in made.items()}
    used = dict(made)
    orthogonalised = bool(request["orthogonalise"]) and "y" in used
    if orthogonalised:
        used["y"] = orthogonalise(used["y"], used["x"]).to(torch.float32)
    objects = {
        axis: recordable[axis] if direction is made[axis] else tensors.encode_direction(direction)
        for axis, direction in used.items()
    }
    shape = geometry(used["x"], used.get("y")) if "x" in used else None
    norms = {axis: norm(direction) for axis, direction in used.items()}
    asked = request.get("curvature")
    bent = choose(context, Question.of(asked["asked"]), asked["memory_bytes"]) if asked else None
    space = Space(
        target=request.get("target"),
        directions=tuple((axis, digest_bytes(data)) for axis, data in sorted(objects.items())),
        batch_size=_batch_size(context) if bent is None else bent.way.batch_size,
        recalibration=_recalibration(context),
    )
    evaluator: CellEvaluator | None = None
    if bent is None:
        space, evaluator, seconds = _probe(context, space, used)
    else:
        seconds = bent.step_seconds
    cosine = shape.cosine if shape else None
    return Prepared(
        space=space,
        evaluator=evaluator,
        objects=objects,
        body={
            "batch_size": space.batch_size,
            "cell_seconds": seconds,
            "norms": norms,
            "cosine": cosine if cosine is not None and math.isfinite(cosine) else None,
            "orthogonalised": orthogonalised,
            "own": ["y"] if orthogonalised else [],
            "about": {axis: dict(item.about) for axis, item in known.items()},
            "device": context.device.type,
            "peak_memory_bytes": _peak_memory(context.device),
            "recalibration": None if space.recalibration is None else asdict(space.recalibration),
            "trajectory": None if path is None else dict(path.body),
            "curvature": None if bent is None else bent.to_json(),
        },
    )


def _direction(context: JobContext, axis: str, entry: Mapping[str, Any]) -> Made:
    if entry.get("materialised"):
        return Made(read_direction(context, Path(entry["materialised"])))
    path = Path(entry["object"]) if entry.get("object") else None
    origin = context.points[entry["origin"]] if "origin" in entry else context.origin
    return make_direction(context, axis, entry["spec"], path, origin=origin)


def _recalibration(context: JobContext) -> Recalibration | None:
    if context.buffers is not BufferPolicy.RECALIBRATE:
        return None
    return plan_recalibration(
        context.setting(1), context.origin, context.datasets[0], context.recalibration_samples
    )


def _batch_size(context: JobContext) -> int:
    """A power of two whose activations fill the budget, whatever else this machine does."""
    largest = max(context.datasets, key=lambda dataset: dataset.samples)
    per_sample = activation_bytes_per_sample(context.setting(1), context.origin, largest)
    cuda = context.device.type == "cuda"
    budget = _CUDA_BATCH_BYTES if cuda else _CPU_BATCH_BYTES
    fitting = max(_SMALLEST_BATCH, int(budget / max(per_sample, 1.0)))
    power = 1 << (fitting.bit_length() - 1)
    return min(power, _LARGEST_CUDA_BATCH if cuda else _LARGEST_CPU_BATCH, largest.samples)


def _probe(
    context: JobContext, space: Space, directions: Mapping[str, Direction]
) -> tuple[Space, CellEvaluator, float]:
    """Evaluates the origin, halving the batch until it fits; returns the seconds it took."""
    while True:
        try:
            evaluator = build_evaluator(context, space, directions)
            seconds = _timed(evaluator, space)
            if seconds < _TIMED_TWICE_SECONDS:
                # the first pass also warmed the libraries up
                seconds = min(seconds, _timed(evaluator, space))
        except MemoryExceeded:
            if space.batch_size == 1:
                raise
            space = replace(space, batch_size=space.batch_size // 2)
            if context.device.type == "cuda":
                torch.cuda.empty_cache()
        else:
            return space, evaluator, seconds


def _timed(evaluator: CellEvaluator, space: Space) -> float:
    begun = time.perf_counter()
    evaluator.evaluate([cell(space, 0.0, 0.0)])
    return time.perf_counter() - begun


def _peak_memory(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
