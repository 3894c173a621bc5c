"""A curvature job on the supervisor's side: what the child is asked, and what it found as a plan.

Owns the axes of a single point: a line of one cell, the origin.
"""

from __future__ import annotations

import math
from typing import Any

from pydantic import ValidationError

from service.domain.plan import JobPlan
from service.domain.questions.curvature.part import CurvaturePart
from service.domain.questions.curvature.spec import CurvatureJob
from workers.childprocess import ChildDied
from workers.tools import InHand


def curvature_request(hand: InHand) -> dict[str, Any] | None:
    """What `prepare` needs to choose how products are formed; None for other jobs."""
    asked = _asked(hand)
    if asked is None:
        return None
    return {"asked": asked, "memory_bytes": hand.tools.options.curvature_memory_bytes}


def curvature_plan(hand: InHand, body: Any) -> CurvaturePart | None:
    """The child's choice for the plan.

    Raises:
        ChildDied: it makes no sense.
    """
    spec = hand.assignment.spec
    if not isinstance(spec, CurvatureJob):
        return None
    try:
        plan = CurvaturePart.model_validate(body.get("curvature"))
    except ValidationError as error:
        raise ChildDied("the child's answer holds no plan for products") from error
    counted = plan.steps is not None
    if counted is not (spec.map is None) or (plan.steps or 1) < 1:
        raise ChildDied("the child counts the work of another kind of job")
    if not math.isfinite(plan.tolerance):
        raise ChildDied("the child reports a tolerance that is no number")
    return plan


def curvature_of(hand: InHand, plan: JobPlan) -> dict[str, Any]:
    """What a tile of curvature is asked; {} for other jobs."""
    asked = _asked(hand)
    if asked is None or plan.part is None:
        return {}
    way = plan.part.model_dump(mode="json")
    return {"curvature": {"asked": asked, "way": way}}


def _asked(hand: InHand) -> dict[str, Any] | None:
    spec = hand.assignment.spec
    return spec.model_dump(mode="json") if isinstance(spec, CurvatureJob) else None
