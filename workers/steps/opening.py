"""Opens a job in its child: fetches what it reads, and says where that lies.

Owns the body of the `open` request on the supervisor's side.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from service.domain.questions.interpolation.spec import InterpolationJob
from service.domain.questions.trajectory.spec import TrajectoryJob
from workers.protocol import Frame
from workers.tools import InHand


def open_job(hand: InHand) -> None:
    """Makes sure that a child has the unit's job open.

    A trajectory's checkpoints, the origin aside, are not opened: they are read when they are due.

    Raises:
        UnitFailed: the inputs do not fit each other.
        Problem: an object is missing or corrupt in the store.
    """
    runner, assignment = hand.tools.runner, hand.assignment
    if runner.serves(assignment.job.id):
        return
    spec = assignment.spec
    body: dict[str, Any] = {
        "job": assignment.job.id,
        "device": hand.tools.options.device,
        "threads": threads_of(hand),
        "model": _model(hand),
        "loss": assignment.model.loss,
        "loss_options": dict(assignment.model.loss_options),
        "precision": spec.precision.value,
        "buffers": spec.buffers.value,
        "recalibration_samples": spec.recalibration.samples,
        "weights": {
            identity: str(fetched(hand, checkpoint.weights))
            for identity, checkpoint in assignment.checkpoints.items()
            if not isinstance(spec, TrajectoryJob) or identity == assignment.job.origin
        },
        "origin": assignment.job.origin,
        "datasets": [
            {"id": dataset.id, "name": name, "path": str(fetched(hand, dataset.object))}
            for name, dataset in zip(assignment.dataset_names, assignment.datasets, strict=True)
        ],
    }
    runner.open(assignment.job.id, Frame("open", body), hand.asking())


def fetched(hand: InHand, digest: str) -> Path:
    """The object's path, verified, kept in the cache for as long as the job's child lives."""
    resources = hand.tools.runner.resources(hand.assignment.job.id)
    held = resources.enter_context(hand.tools.cache.holding())
    return hand.persist(lambda: held.path(digest), f"fetching {digest}")


def target_of(hand: InHand) -> str | None:
    """The checkpoint at α = 1, for a line through two of them."""
    spec = hand.assignment.spec
    return spec.target if isinstance(spec, InterpolationJob) else None


def threads_of(hand: InHand) -> int:
    """As many threads as the plan says: one more can move the last bit of a value."""
    plan = hand.assignment.claimed.inputs.plan
    return int(plan["threads"]) if plan else hand.tools.options.threads


def _model(hand: InHand) -> dict[str, Any]:
    model = hand.assignment.model
    if model.architecture is not None:
        return {"architecture": dict(model.architecture)}
    if model.graph is None:
        raise ValueError(f"model {model.id} has no canonical graph")
    constants = None if model.constants is None else str(fetched(hand, model.constants))
    return {"graph": str(fetched(hand, model.graph)), "constants": constants}
