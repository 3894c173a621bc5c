"""Job specs: what a caller may ask to be computed, as validated frozen values.

A spec is immutable once submitted; its canonical digest, over the inputs' digests rather than
their ids, names the result.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator

from service.domain.directions import PlaneDirections
from service.domain.grids import Axis, Grid
from service.domain.ids import CheckpointId, DatasetId, Tag


class Precision(StrEnum):
    """Arithmetic of the forward pass; losses are always summed in float64."""

    FLOAT32 = "float32"
    FLOAT64 = "float64"
    TF32 = "tf32"
    BF16 = "bf16"


class BufferPolicy(StrEnum):
    """What running statistics do along a direction."""

    FROZEN = "frozen"
    INTERPOLATE = "interpolate"


class ExactSampling(BaseModel):
    """Every cell is evaluated on every sample."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mode: Literal["exact"] = "exact"


class _Job(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    datasets: tuple[DatasetId, ...] = Field(
        min_length=1,
        max_length=8,
        description="Data sets to evaluate on, train and test for example.",
    )
    precision: Precision = Precision.FLOAT32
    buffers: BufferPolicy = BufferPolicy.FROZEN
    tags: frozenset[Tag] = Field(default=frozenset(), max_length=32)
    priority: int = Field(default=0, ge=-10, le=10)
    force: bool = Field(
        default=False,
        description="Compute again even if the same spec over the same inputs has a landscape.",
    )

    @model_validator(mode="after")
    def _datasets_differ(self) -> Self:
        if len(set(self.datasets)) != len(self.datasets):
            raise ValueError("datasets: the same data set is named twice")
        return self


class InterpolationJob(_Job):
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


class SurfaceJob(_Job):
    """f(α, β) = L(θ* + αδ + βη) (Li et al. 2018)."""

    kind: Literal["surface"]
    origin: CheckpointId
    directions: PlaneDirections
    orthogonalise: bool = Field(
        default=False, description="Make y orthogonal to x (Gram–Schmidt) after normalisation."
    )
    grid: Grid
    sampling: ExactSampling = ExactSampling()


JobSpec = Annotated[InterpolationJob | SurfaceJob, Field(discriminator="kind")]
JOB_SPEC: TypeAdapter[InterpolationJob | SurfaceJob] = TypeAdapter(JobSpec)

#: Every kind of job in the ledger; `ingest` is ours (a model's probe) and cannot be submitted.
JOB_KINDS = ("interpolation", "surface", "ingest")


def shape_of(spec: InterpolationJob | SurfaceJob) -> tuple[int, ...]:
    """The grid's shape: (n,) for a line, (ny, nx) for a plane."""
    if isinstance(spec, SurfaceJob):
        return spec.grid.shape
    return (spec.alpha.num,)
