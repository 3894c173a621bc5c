"""The line through two checkpoints on the supervisor's side.

It is computed from the two, not from their difference.
"""

from __future__ import annotations

from typing import ClassVar, Final

from service.domain.plan import JobPlan
from service.domain.questions.interpolation.spec import InterpolationJob
from workers.questions.interpolation.messages import Segment, SegmentTile
from workers.questions.supervising import Supervising
from workers.tools import InHand


class SupervisedSegment(Supervising[InterpolationJob]):
    """Weights are counted once, by the first tile."""

    reads_directions: ClassVar = False

    def prepare_part(self, spec: InterpolationJob, hand: InHand) -> Segment:
        return Segment(target=spec.target)

    def tile_part(self, spec: InterpolationJob, plan: JobPlan, hand: InHand) -> SegmentTile:
        return SegmentTile(target=spec.target, weights=hand.assignment.unit.start == 0)


HALF: Final = SupervisedSegment()
