"""Networks that a line or plane passes through, on the supervisor's side.

Owns which points of a tile are checkpoints themselves.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from service.domain.directions import Normalisation
from service.domain.networks import provenance
from service.domain.plan import JobPlan, PlannedNetwork
from service.domain.questions.interpolation.spec import InterpolationJob
from service.domain.questions.line.spec import LineJob
from service.domain.questions.surface.spec import SurfaceJob
from service.domain.questions.trajectory.spec import TrajectoryJob
from service.ledger.records import CheckpointRecord, DirectionRecord
from workers.childprocess import ChildDied
from workers.steps.opening import fetched
from workers.tools import InHand

_NETWORKS: TypeAdapter[tuple[PlannedNetwork, ...]] = TypeAdapter(tuple[PlannedNetwork, ...])


def network_request(hand: InHand) -> list[dict[str, str]]:
    """The candidates that the child judges; [] for jobs whose networks are told otherwise."""
    spec = hand.assignment.spec
    if not isinstance(spec, InterpolationJob | LineJob | SurfaceJob):
        return []
    candidates = [{"role": "origin", "checkpoint": spec.origin}]
    if isinstance(spec, InterpolationJob):
        return [*candidates, {"role": "target", "checkpoint": spec.target}]
    for axis, record in sorted(hand.assignment.directions.items()):
        target = _leads_to(record, spec.origin)
        if target is not None:
            role = axis if isinstance(spec, SurfaceJob) else "target"
            candidates.append({"role": role, "checkpoint": target, "axis": axis})
    return candidates


def network_plan(hand: InHand, body: Any) -> tuple[PlannedNetwork, ...]:
    """The child's findings for the plan.

    Raises:
        ChildDied: they make no sense, or are networks that it was not asked about.
    """
    try:
        found = _NETWORKS.validate_python(body.get("networks") or ())
    except ValidationError as error:
        raise ChildDied("the child's answer holds no networks") from error
    asked = {(entry["role"], entry["checkpoint"]) for entry in network_request(hand)}
    if found and {(network.role, network.checkpoint) for network in found} != asked:
        raise ChildDied("the child found other networks than it was asked about")
    if not all(math.isfinite(value) for network in found for value in network.at):
        raise ChildDied("the child reports a place that is no number")
    return found


def with_places(
    anchors: tuple[tuple[float, float], ...], networks: tuple[PlannedNetwork, ...]
) -> tuple[tuple[float, float], ...]:
    """The anchors, and every network's place: what the line or plane gives there is known too."""
    places = dict.fromkeys(network.at for network in networks)
    return (*anchors, *(at for at in places if at not in anchors))


def themselves_of(hand: InHand, plan: JobPlan, index: NDArray[np.int64]) -> dict[str, Any]:
    """For each point of a tile the checkpoint that is evaluated itself, or None.

    A trajectory's are read from their files; others are open under their ids.
    """
    if not (index >= plan.in_plane).any():
        return {}
    named = [
        None if flat < plan.in_plane else plan.themselves[flat - plan.in_plane]
        for flat in index.tolist()
    ]
    if not isinstance(hand.assignment.spec, TrajectoryJob):
        return {"checkpoints": named}
    checkpoints = hand.assignment.checkpoints
    return {
        "checkpoints": [
            None if identity is None else str(fetched(hand, checkpoints[identity].weights))
            for identity in named
        ]
    }


def network_provenance(hand: InHand, plan: JobPlan) -> dict[str, Any]:
    """`{"networks": …}`; {} for jobs without any that are told apart."""
    checkpoints = hand.assignment.checkpoints
    return provenance(plan, {i: _label(record) for i, record in checkpoints.items()})


def _leads_to(record: DirectionRecord, origin: str) -> str | None:
    """The checkpoint at the end of a direction; None where it leads to none."""
    spec = record.spec
    whole = spec.get("normalize") == Normalisation.NONE and not spec.get("ignore")
    if spec.get("kind") != "between" or not whole or record.checkpoint_id != origin:
        return None
    return str(spec["target"])


def _label(record: CheckpointRecord) -> str | None:
    if record.label is not None:
        return record.label
    return None if record.step is None else f"step {record.step}"
