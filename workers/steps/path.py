"""A trajectory on the supervisor's side: which files the child reads, and what it found as a plan.

Owns the order of a path's rows: the checkpoints of all runs, one run after another.
"""

from __future__ import annotations

import math
from typing import Any

from service.domain.questions.question import Extent
from service.domain.questions.trajectory.part import TrajectoryPart
from service.domain.questions.trajectory.result import rows_of
from service.domain.questions.trajectory.spec import TrajectoryJob
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


def path_plan(hand: InHand, body: Any) -> TrajectoryPart | None:
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
    plan = TrajectoryPart.model_validate(
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


def extent_of(body: Any) -> Extent | None:
    """How far the path reaches along each axis; None for jobs without a path."""
    found = body.get("trajectory")
    if not isinstance(found, dict):
        return None
    (x_low, x_high), (y_low, y_high) = found["extent"]
    return (x_low, x_high), (y_low, y_high)
