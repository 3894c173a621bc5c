"""What lines along directions ask for."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from service.domain.directions import DirectionChoice, RandomDirection
from service.domain.grids import Axis
from service.domain.ids import CheckpointId
from service.domain.questions.spec import QuestionSpec


class LineJob(QuestionSpec):
    """f(α) = L(θ + αd) along one direction, or along `repeats` random ones, seed after seed."""

    kind: Literal["line"]
    origin: CheckpointId
    direction: DirectionChoice
    repeats: int = Field(
        default=1,
        ge=1,
        le=64,
        description="How many random directions: of seed, seed + 1, … Shown one by one, with "
        "their mean and spread.",
    )
    alpha: Axis = Axis(min=-1.0, max=1.0, num=51)

    @model_validator(mode="after")
    def _repeatable(self) -> Self:
        if self.repeats == 1:
            return self
        if not isinstance(self.direction, RandomDirection):
            raise ValueError("repeats: only a random direction, given inline, can be repeated")
        if self.direction.seed + self.repeats > 2**63:
            raise ValueError("repeats: the last seed would be out of range; begin with a lower one")
        return self
