"""`prepare`: validate everything, make the directions, choose the batch size, time a cell.

Owns what is decided once for a whole job, so that no value depends on which worker computes it.
What can move a value's bits is decided by rules, and the plan records it for every other worker;
clocks tell how long the work will take and nothing else.
"""

from __future__ import annotations

import math
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
from workers.computation.first_layer import as_exact, worth_combining
from workers.computation.footprint import estimate, peak_bytes
from workers.computation.networks import networks_on
from workers.computation.reduced_precision import compare
from workers.computation.trajectory import FoundPath, find_path
from workers.engine.batching import (
    Batching,
    activation_bytes_per_sample,
    choose_batching,
)
from workers.engine.counting import Counting
from workers.engine.direction import Direction, geometry, norm, orthogonalise
from workers.engine.errors import MemoryExceeded
from workers.engine.evaluation import count_targets
from workers.engine.placement import BufferPolicy
from workers.engine.recalibration import Recalibration, plan_recalibration
from workers.engine.surface import CellEvaluator, first_weights

#: A cell that takes longer than this is timed once only.
_TIMED_TWICE_SECONDS: Final = 2.0
#: What a child holds before it opens a job, about.
_PROCESS_BYTES: Final = 384 << 20


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
    orthogonalise, target, trajectory, curvature, cells, compared, memory_bytes, networks}`; a
    trajectory's axes are its principal components, a single point's curvature has none. `cells` is
    how many a surface has; at those of `compared` a reduced precision is compared with float32;
    `memory_bytes` is what the process may hold in all; `networks` are those that the line or plane
    passes through (`networks_on`).

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
    batching = _batching(context, request) if bent is None else Batching(bent.way.batch_size)
    space = Space(
        target=request.get("target"),
        directions=tuple((axis, digest_bytes(data)) for axis, data in sorted(objects.items())),
        batch_size=batching.batch_size,
        recalibration=_recalibration(context),
        channels_last=batching.channels_last,
    )
    evaluator: CellEvaluator | None = None
    estimated: int | None = None
    compared: dict[str, Any] | None = None
    if bent is None:
        space, evaluator, seconds = _probe(context, space, used)
        combined = replace(space, combine_first=True)
        if worth_combining(context, combined, int(request.get("cells") or 0)):
            other = evaluator.combining(
                first_weights(
                    context.setting(space.batch_size), context.origin, used["x"], used.get("y")
                )
            )
            if as_exact(context.precision, evaluator, other, combined):
                space, evaluator, seconds = combined, other, _timed(other, combined)
        measured = peak_bytes(context.device)
        activations = _activation_bytes(context, space)
        estimated = estimate(context, space, activations, context.base_bytes)
        cells = [(a, b) for a, b in request.get("compared") or _on_path(path)]
        compared = compare(context, space, evaluator, cells, activations)
    else:
        seconds, measured = bent.step_seconds, peak_bytes(context.device)
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
            "memory": {
                "estimated_bytes": estimated,
                "measured_bytes": measured,
                "halvings": _halvings(batching.batch_size, space.batch_size),
            },
            "channels_last": space.channels_last,
            "combine_first": space.combine_first,
            "precision_error": compared,
            "recalibration": None if space.recalibration is None else asdict(space.recalibration),
            "networks": networks_on(context, request.get("networks") or [], made, used),
            "counted": [
                counting.to_json()
                for counting in (_countings(context) if evaluator is None else evaluator.countings)
            ],
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


def _countings(context: JobContext) -> list[Counting]:
    """What each data set's means are over, where no cell was evaluated."""
    return [
        count_targets(context.setting(1), context.origin, dataset) for dataset in context.datasets
    ]


def _recalibration(context: JobContext) -> Recalibration | None:
    if context.buffers is not BufferPolicy.RECALIBRATE:
        return None
    return plan_recalibration(
        context.setting(1), context.origin, context.datasets[0], context.recalibration_samples
    )


def _batching(context: JobContext, request: Mapping[str, Any]) -> Batching:
    return choose_batching(
        context.setting(1),
        context.origin,
        context.datasets,
        memory_budget_bytes=_batch_budget(context, request),
    )


def _batch_budget(context: JobContext, request: Mapping[str, Any]) -> int | None:
    """What is left for a batch's activations of the memory that this process may hold."""
    allowed = request.get("memory_bytes")
    if not allowed or context.device.type == "cuda":
        return None
    axes = tuple((axis, "") for axis in request["directions"])
    space = Space(request.get("target"), axes, batch_size=1)
    # not what it held before the job, which is another number in every process
    base = min(_PROCESS_BYTES, int(allowed) // 2)
    return max(int(allowed) - estimate(context, space, 0.0, base), 1)


def _halvings(chosen: int, used: int) -> int:
    """How often the batch was halved because the memory did not suffice."""
    return round(math.log2(chosen / used))


def _activation_bytes(context: JobContext, space: Space) -> float:
    largest = max(context.datasets, key=lambda dataset: dataset.samples)
    setting = context.setting(1, channels_last=space.channels_last)
    return activation_bytes_per_sample(setting, context.origin, largest)


def _on_path(path: FoundPath | None) -> list[tuple[float, float]]:
    """A trajectory's beginning and end, where a reduced precision is compared."""
    if path is None:
        return []
    rows = path.body["coordinates"]
    return [tuple(rows[0]), tuple(rows[len(rows) // 2]), (0.0, 0.0)]


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
