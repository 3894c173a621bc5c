"""What curvature asks for: a spectrum at a checkpoint, or a map of its ends."""

from __future__ import annotations

from typing import Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from service.domain.directions import DirectionChoice, Ignored, PlaneDirections
from service.domain.grids import Grid
from service.domain.ids import CheckpointId
from service.domain.questions.spec import BufferPolicy, Precision, QuestionSpec


class TraceEstimate(BaseModel):
    """tr H from `samples` Hessian-vector products."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: Literal["deflated", "hutchinson", "hutch++", "xtrace"] = "deflated"
    samples: int = Field(default=16, ge=2, le=10_000)


_FEWEST_SAMPLES: Final = {"xtrace": 4, "hutch++": 6}
#: Ten units in the last place: what residuals in float32 can be told from.
_FLOAT32_TOLERANCE: Final = 1.2e-6


class SpectralDensity(BaseModel):
    """Stochastic Lanczos quadrature: `probes` random starts of `steps` products each."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: int = Field(default=60, ge=2, le=1_000)
    probes: int = Field(default=4, ge=1, le=1_000)


class CurvatureMap(BaseModel):
    """Where λ_min, λ_max and |λ_min / λ_max| are mapped (Li et al. 2018, §6)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    directions: PlaneDirections
    orthogonalise: bool = False
    grid: Grid


class CurvatureJob(QuestionSpec):
    """The Hessian's spectrum at a checkpoint, or its extreme eigenvalues over a plane (`map`)."""

    kind: Literal["curvature"]
    origin: CheckpointId
    map: CurvatureMap | None = None
    largest: int = Field(default=1, ge=0, le=100, description="Most positive eigenvalues.")
    smallest: int = Field(default=1, ge=0, le=100, description="Most negative eigenvalues.")
    trace: TraceEstimate | None = None
    density: SpectralDensity | None = None
    layers: bool = Field(default=False, description="λ_max, λ_min and trace of each layer too.")
    along: tuple[DirectionChoice, ...] = Field(
        default=(), max_length=16, description="Directions d to give dᵀHd/dᵀd along."
    )
    exclude: frozenset[Ignored] = Field(
        default=frozenset(), description="Parameters that the Hessian is not taken over."
    )
    tolerance: float | None = Field(
        default=None,
        gt=0,
        le=1e-1,
        description="Of residuals, relative to the largest |eigenvalue|. Left out: 1e-5 at a "
        "point, 1e-3 on a map.",
    )
    max_products: int = Field(default=300, ge=2, le=10_000)
    seed: int = Field(default=0, ge=0, lt=2**63)

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.precision not in (Precision.FLOAT32, Precision.FLOAT64):
            raise ValueError("precision: curvature needs float32 or float64")
        if self.buffers is not BufferPolicy.FROZEN and self.map is None:
            raise ValueError("buffers: nothing moves at a single point; leave them frozen")
        if self.buffers not in (BufferPolicy.FROZEN, BufferPolicy.INTERPOLATE):
            raise ValueError("buffers: a map of curvature knows frozen and interpolate")
        # by value: a spec on record has every default filled in
        only_at_a_point = self.trace or self.density or self.layers or self.along
        if self.map is not None and (only_at_a_point or (self.largest, self.smallest) != (1, 1)):
            raise ValueError("map: a map gives λ_min and λ_max only; ask for the rest at a point")
        if self.precision is Precision.FLOAT32 and 0 < (self.tolerance or 1) < _FLOAT32_TOLERANCE:
            raise ValueError(
                f"tolerance: float32 resolves {_FLOAT32_TOLERANCE:g} at best; ask for that, or "
                "for float64"
            )
        wanted = self.largest + self.smallest
        if self.max_products < wanted:
            raise ValueError(f"max_products: {wanted} eigenvalues need at least as many products")
        fewest = 0 if self.trace is None else _FEWEST_SAMPLES.get(self.trace.method, 2)
        if self.trace is not None and self.trace.samples < fewest:
            raise ValueError(f"trace/samples: {self.trace.method} needs {fewest} at least")
        if wanted == 0 and self.trace is not None and self.trace.method == "deflated":
            raise ValueError(
                "trace: the deflated estimate builds on the run that finds eigenvalues; ask for "
                "one, or for another method"
            )
        return self
