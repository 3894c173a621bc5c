"""A trajectory on the supervisor's side: which files the child reads, and what it found as a plan.

Owns the order of a path's rows: the checkpoints of all runs, one run after another.
"""

from __future__ import annotations

import math
from typing import Any

from numpy.typing import NDArray

from service.domain.grids import Axis
from service.domain.questions.trajectory.spec import TrajectoryJob
from service.domain.trajectory import attachments, provenance, rows_of
from service.domain.units import JobPlan, TrajectoryPlan
from workers.childprocess import ChildDied
from workers.steps.opening import fetched
from workers.tools import InHand


def path_request(hand: InHand) -> dict[str, Any] | None:
    """What the child needs to find the plane; None for jobs without a path."""
    spec = hand.assignment.spec
    if not isinstance(spec, TrajectoryJob):
        return None
    ids, runs = rows_of(spec)
    checkpoints = hand.assignment.checkpoints
    return {
        "paths": [str(fetched(hand, checkpoints[identity].weights)) for identity in ids],
        "centre": runs.count(0) - 1,
        "centring": spec.center,
        "exclude": sorted(kind.value for kind in spec.exclude),
        "random_planes": spec.random_planes,
        "margin": spec.surface.margin,
    }


def path_plan(hand: InHand, body: Any) -> TrajectoryPlan | None:
    """The child's findings for the plan.

    Raises:
        ChildDied: they are not those of this path.
    """
    spec, found = hand.assignment.spec, body.get("trajectory")
    if not isinstance(spec, TrajectoryJob):
        return None
    if not isinstance(found, dict):
        raise ChildDied("the child's answer holds no path")
    ids, runs = rows_of(spec)
    plan = TrajectoryPlan.model_validate(
        {
            **found,
            "checkpoints": ids,
            "runs": runs,
            "centre": runs.count(0) - 1,
            "true_loss": spec.true_loss,
        }
    )
    numbers = [
        *(value for row in plan.coordinates for value in row),
        *(*plan.residuals, *plan.distances, *plan.explained_variance),
        *(plan.share, *plan.random_shares),
    ]
    rows = {len(plan.coordinates), len(plan.residuals), len(plan.distances)}
    if rows != {len(ids)} or not all(map(math.isfinite, numbers)):
        raise ChildDied("the child found another path than it was asked for")
    return plan


def axes_under(spec: TrajectoryJob, body: Any) -> tuple[Axis, Axis]:
    """The axes of the surface under a path: as far as the child says that it reaches."""
    x, y = (
        Axis(min=low, max=high, num=spec.surface.num) for low, high in body["trajectory"]["extent"]
    )
    return x, y


def attachments_of(hand: InHand, plan: JobPlan) -> dict[str, NDArray[Any]]:
    """The path's named arrays; {} for jobs without one."""
    spec = hand.assignment.spec
    if not isinstance(spec, TrajectoryJob):
        return {}
    return attachments(plan, spec, hand.assignment.checkpoints)


def path_provenance(hand: InHand, plan: JobPlan) -> dict[str, Any]:
    """`{"trajectory": …}`; {} for jobs without one."""
    spec = hand.assignment.spec
    return {"trajectory": provenance(plan, spec)} if isinstance(spec, TrajectoryJob) else {}
