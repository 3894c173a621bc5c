"""Lines along directions on the supervisor's side."""

from __future__ import annotations

from typing import Final

from service.domain.plan import JobPlan
from service.domain.questions.line.spec import LineJob
from workers.questions.line.messages import LineTile
from workers.questions.supervising import Supervising
from workers.tools import InHand


class SupervisedLine(Supervising[LineJob]):
    """Weights are counted once, by the first tile."""

    def tile_part(self, spec: LineJob, plan: JobPlan, hand: InHand) -> LineTile:
        return LineTile(weights=hand.assignment.unit.start == 0)


HALF: Final = SupervisedLine()
