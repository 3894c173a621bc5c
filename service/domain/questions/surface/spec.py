"""What a surface asks for."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from service.domain.directions import PlaneDirections
from service.domain.grids import Grid
from service.domain.ids import CheckpointId
from service.domain.questions.spec import (
    ExactSampling,
    QuestionSpec,
    Sampling,
    require_interpolable,
)


class SurfaceJob(QuestionSpec):
    """f(α, β) = L(θ* + αδ + βη) (Li et al. 2018)."""

    kind: Literal["surface"]
    origin: CheckpointId
    directions: PlaneDirections
    orthogonalise: bool = Field(
        default=False, description="Make y orthogonal to x (Gram–Schmidt) after normalisation."
    )
    grid: Grid
    sampling: Sampling = ExactSampling()

    @model_validator(mode="after")
    def _interpolable(self) -> Self:
        require_interpolable(self.sampling, self.grid.shape)
        return self
