"""What every question says, whatever its kind: data, arithmetic, buffers, sampling.

Owns the fields that all specs share, as validated frozen values; knows no kind. A spec is immutable
once submitted; its canonical digest, over the inputs' digests rather than their ids, names the
result.
"""

from __future__ import annotations

import math
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    FiniteFloat,
    model_validator,
)

from service.domain.ids import DatasetId, Tag


class Precision(StrEnum):
    """Arithmetic of the forward pass; losses are always summed in float64."""

    FLOAT32 = "float32"
    FLOAT64 = "float64"
    TF32 = "tf32"
    BF16 = "bf16"


class BufferPolicy(StrEnum):
    """What running statistics do along a direction.

    `frozen`: the origin's everywhere. `interpolate`: they move too. `recalibrate`: recomputed from
    samples at every point.
    """

    FROZEN = "frozen"
    INTERPOLATE = "interpolate"
    RECALIBRATE = "recalibrate"


class Recalibration(BaseModel):
    """From what running statistics are recomputed, with `buffers: recalibrate`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    samples: int = Field(
        default=1024,
        ge=2,
        le=10_000_000,
        description="The first ones of the first data set; all of them where it has fewer.",
    )


class ExactSampling(BaseModel):
    """Every cell is evaluated on every sample."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mode: Literal["exact"] = "exact"


class AdaptiveSampling(BaseModel):
    """Few cells are evaluated exactly and the others interpolated, each with a stated error.

    Says of a result: at least 95 % of the cells lie within `tolerance` of the exact loss, for every
    data set, and at least 95 % within the error that they state. Both come from the audit, cells
    drawn at random and predicted from the others.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    mode: Literal["adaptive"]
    tolerance: FiniteFloat = Field(
        default=0.03, ge=1e-4, le=1, description="Relative, on the loss of every data set."
    )
    audit: FiniteFloat = Field(
        default=0.05,
        ge=0.01,
        le=0.5,
        description="Share of the cells that are drawn to check the others; 60 to 400 of them.",
    )


def _exact_unless_told(value: Any) -> Any:
    # `mode` had one value once and could be left out
    if isinstance(value, dict) and "mode" not in value:
        return {**value, "mode": "exact"}
    return value


Sampling = Annotated[
    ExactSampling | AdaptiveSampling,
    Field(discriminator="mode"),
    BeforeValidator(_exact_unless_told),
]
#: Beyond this, interpolation itself would take longer than many an evaluation.
MOST_ADAPTIVE_CELLS: Final = 250_000
_FEWEST_ADAPTIVE: Final = 5


def require_interpolable(sampling: Sampling, shape: tuple[int, int]) -> None:
    if sampling.mode == "exact":
        return
    if min(shape) < _FEWEST_ADAPTIVE:
        raise ValueError(
            f"sampling: adaptive needs {_FEWEST_ADAPTIVE} points along each axis at least"
        )
    if math.prod(shape) > MOST_ADAPTIVE_CELLS:
        raise ValueError(
            f"sampling: adaptive takes {MOST_ADAPTIVE_CELLS} cells at most; lower `num`"
        )


class QuestionSpec(BaseModel):
    """What is asked, as it was submitted or as it stands on record."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    if TYPE_CHECKING:
        # each kind declares it, with its own name as the only value
        kind: str

    datasets: tuple[DatasetId, ...] = Field(
        min_length=1,
        max_length=8,
        description="Data sets to evaluate on, train and test for example.",
    )
    precision: Precision = Precision.FLOAT32
    buffers: BufferPolicy = BufferPolicy.FROZEN
    recalibration: Recalibration = Recalibration()
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
