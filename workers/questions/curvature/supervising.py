"""Curvature on the supervisor's side: what the child is asked, and its choice as a plan."""

from __future__ import annotations

from typing import ClassVar, Final

from service.domain.plan import JobPlan
from service.domain.questions.curvature.part import CurvaturePart
from service.domain.questions.curvature.spec import CurvatureJob
from workers.childprocess import ChildDied
from workers.protocol import Prepared
from workers.questions.curvature.messages import Asked, Chosen, CurvatureTile
from workers.questions.supervising import Found, Supervising
from workers.tools import InHand


class SupervisedCurvature(Supervising[CurvatureJob]):
    """The child chooses how products are formed, within the memory that the worker gives it."""

    finds: ClassVar = Chosen

    def prepare_part(self, spec: CurvatureJob, hand: InHand) -> Asked:
        return Asked(asked=spec, memory_bytes=hand.tools.options.curvature_memory_bytes)

    def found(self, spec: CurvatureJob, answer: Prepared) -> Found:
        chosen = answer.of(Chosen)
        if (chosen.steps is None) is (spec.map is None):
            raise ChildDied("the child counts the work of another kind of job")
        return Found(CurvaturePart(**chosen.model_dump()))

    def tile_part(self, spec: CurvatureJob, plan: JobPlan, hand: InHand) -> CurvatureTile | None:
        part = plan.part
        return CurvatureTile(asked=spec, way=part) if isinstance(part, CurvaturePart) else None


HALF: Final = SupervisedCurvature()
