"""The toy on the supervisor's side."""

from __future__ import annotations

from typing import ClassVar, Final

from tests.toy.messages import ToyAsked, ToyFound
from tests.toy.question import ToyJob, ToyPart
from workers.protocol import Prepared
from workers.questions.supervising import Found, Supervising
from workers.tools import InHand


class SupervisedToy(Supervising[ToyJob]):
    """Asks how many radii there are, and is told."""

    finds: ClassVar = ToyFound

    def prepare_part(self, spec: ToyJob, hand: InHand) -> ToyAsked:
        return ToyAsked(radii=spec.num)

    def found(self, spec: ToyJob, answer: Prepared) -> Found:
        return Found(ToyPart(asked=answer.of(ToyFound).asked))


HALF: Final = SupervisedToy()
