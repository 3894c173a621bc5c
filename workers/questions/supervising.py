"""What the supervisor's half of a kind of question says of itself. Knows no kind, imports no torch.

Owns the interface between the steps of a unit and the kinds: what a child is asked beside what all
kinds ask, and what its findings are in the plan. The pure rules of a kind are its `Question`'s.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

from service.domain.plan import JobPlan, Part
from service.domain.questions.question import Extent
from service.domain.questions.spec import QuestionSpec
from workers.protocol import MessagePart, Prepared
from workers.tools import InHand

S = TypeVar("S", bound=QuestionSpec)


@dataclass(frozen=True)
class Found:
    """What a child found out for the plan.

    Attributes:
        part: the plan's own part for this kind.
        extent: how far the grid must reach, where the spec does not say.
    """

    part: Part | None = None
    extent: Extent | None = None


class Supervising(Generic[S]):
    """The supervisor's half of one kind; as it is, of a kind that asks what all kinds ask.

    Attributes:
        finds: the type of the part that the child's answer to `prepare` has.
        reads_directions: whether tiles are computed from the directions' tensors.
    """

    finds: ClassVar[type[MessagePart] | None] = None
    reads_directions: ClassVar[bool] = True

    def prepare_part(self, spec: S, hand: InHand) -> MessagePart | None:
        """This kind's part of what the child is asked to prepare."""
        return None

    def found(self, spec: S, answer: Prepared) -> Found:
        """The child's findings for the plan.

        Raises:
            ChildDied: they make no sense.
        """
        return Found()

    def tile_part(self, spec: S, plan: JobPlan, hand: InHand) -> MessagePart | None:
        """This kind's part of what the child is asked for the unit's tile."""
        return None
