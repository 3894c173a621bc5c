"""What a path of training asks for."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator

from service.domain.directions import Ignored
from service.domain.ids import CheckpointId, DisplayName, ModelId
from service.domain.questions.spec import (
    ExactSampling,
    QuestionSpec,
    Sampling,
    require_interpolable,
)


class TrajectoryRun(BaseModel):
    """The checkpoints of one training run, in order."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: ModelId
    checkpoints: Literal["all"] | tuple[CheckpointId, ...] = Field(
        default="all", description="In order; `all` is every checkpoint that the model has now."
    )
    label: DisplayName | None = Field(default=None, description="Left out, the model's name.")

    @model_validator(mode="after")
    def _different(self) -> Self:
        if self.checkpoints != "all" and len(set(self.checkpoints)) != len(self.checkpoints):
            raise ValueError("checkpoints: the same checkpoint is named twice")
        return self


class PathSurface(BaseModel):
    """The surface under a path: its extent plus `margin` of its length on every side."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    num: int = Field(default=51, ge=2, le=10_001, description="Points along each axis.")
    margin: FiniteFloat = Field(default=0.3, ge=0, le=10)


class TrajectoryJob(QuestionSpec):
    """The path of training on the plane that shows the most of it (Li et al. 2018, §7)."""

    kind: Literal["trajectory"]
    model: ModelId
    checkpoints: Literal["all"] | tuple[CheckpointId, ...] = "all"
    label: DisplayName | None = Field(
        default=None, description="Of this run beside others. Left out, the model's name."
    )
    runs: tuple[TrajectoryRun, ...] = Field(
        default=(),
        max_length=15,
        description="Further runs of networks with the same tensors, on the same plane.",
    )
    center: Literal["final", "mean"] = Field(
        default="final",
        description="`final`: θ_i − θ_n as they are (the paper). `mean`: the mean subtracted too "
        "(the published code).",
    )
    exclude: frozenset[Ignored] = Field(
        default=frozenset(), description="Parameters that the path is not looked at in."
    )
    surface: PathSurface = PathSurface()
    sampling: Sampling = Field(
        default=ExactSampling(),
        description="Of the surface; checkpoints and their places are evaluated always.",
    )
    true_loss: bool = Field(
        default=True, description="Evaluate every checkpoint itself too, beside its place."
    )
    random_planes: int = Field(
        default=8, ge=0, le=64, description="Random planes to compare the share of variation with."
    )

    @model_validator(mode="after")
    def _path(self) -> Self:
        TrajectoryRun(model=self.model, checkpoints=self.checkpoints)
        require_interpolable(self.sampling, (self.surface.num, self.surface.num))
        return self
