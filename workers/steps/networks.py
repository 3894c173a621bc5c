"""Networks that a line or plane passes through, on the supervisor's side.

Owns which points of a tile are checkpoints themselves.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.domain.directions import Normalisation
from service.domain.networks import provenance
from service.domain.plan import JobPlan, PlannedNetwork
from service.domain.questions.table import question_of
from service.ledger.records import CheckpointRecord, DirectionRecord
from workers.childprocess import ChildDied
from workers.protocol import Candidate, Prepared
from workers.tools import InHand


def network_request(hand: InHand) -> tuple[Candidate, ...]:
    """The candidates that the child judges; none for jobs whose networks are told otherwise."""
    spec, origin = hand.assignment.spec, hand.assignment.job.origin
    question = question_of(spec)
    candidates = [
        Candidate(role=role, checkpoint=checkpoint) for role, checkpoint in question.networks(spec)
    ]
    for axis, record in sorted(hand.assignment.directions.items()):
        role, target = question.network_role(axis), _leads_to(record, origin)
        if role is not None and target is not None:
            candidates.append(Candidate(role=role, checkpoint=target, axis=axis))
    return tuple(candidates)


def network_plan(hand: InHand, answer: Prepared) -> tuple[PlannedNetwork, ...]:
    """The child's findings for the plan.

    Raises:
        ChildDied: they make no sense, or are networks that it was not asked about.
    """
    found = answer.networks
    asked = {(candidate.role, candidate.checkpoint) for candidate in network_request(hand)}
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


def themselves_of(hand: InHand, plan: JobPlan, index: NDArray[np.int64]) -> tuple[str | None, ...]:
    """For each point of a tile the checkpoint that is evaluated itself, or None; empty for none.

    By id where it is open, else by its file.
    """
    if not (index >= plan.in_plane).any():
        return ()
    named = [
        None if flat < plan.in_plane else plan.themselves[flat - plan.in_plane]
        for flat in index.tolist()
    ]
    if question_of(hand.assignment.spec).opened_whole:
        return tuple(named)
    checkpoints = hand.assignment.checkpoints
    return tuple(
        None if identity is None else str(hand.fetched(checkpoints[identity].weights))
        for identity in named
    )


def network_provenance(hand: InHand, plan: JobPlan) -> dict[str, Any]:
    """`{"networks": …}`; {} for jobs without any that are told apart."""
    checkpoints = hand.assignment.checkpoints
    return provenance(plan, {i: _label(record) for i, record in checkpoints.items()})


def _leads_to(record: DirectionRecord, origin: str | None) -> str | None:
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
