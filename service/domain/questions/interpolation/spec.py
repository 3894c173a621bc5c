"""What a line through two checkpoints asks for."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import model_validator

from service.domain.grids import Axis
from service.domain.ids import CheckpointId
from service.domain.questions.spec import QuestionSpec


class InterpolationJob(QuestionSpec):
    """f(α) = L((1−α)θ + αθ′) along the line through two checkpoints (Goodfellow et al. 2015)."""

    kind: Literal["interpolation"]
    origin: CheckpointId
    target: CheckpointId
    alpha: Axis = Axis(min=-0.5, max=1.5, num=51)

    @model_validator(mode="after")
    def _two_ends(self) -> Self:
        if self.origin == self.target:
            raise ValueError("origin and target are the same checkpoint: the line has no direction")
        return self
