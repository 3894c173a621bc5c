"""Job specs: what a caller may ask to be computed, as validated frozen values.

A spec is immutable once submitted; its canonical digest, over the inputs' digests rather than
their ids, names the result.
"""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    FiniteFloat,
    TypeAdapter,
    model_validator,
)

from service.domain.directions import (
    DirectionChoice,
    Ignored,
    PlaneDirections,
    RandomDirection,
)
from service.domain.grids import Axis, Grid
from service.domain.ids import CheckpointId, DatasetId, DisplayName, ModelId, Tag


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


def _require_interpolable(sampling: Sampling, shape: tuple[int, int]) -> None:
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


class _Job(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

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
    sampling: Sampling = ExactSampling()

    @model_validator(mode="after")
    def _interpolable(self) -> Self:
        _require_interpolable(self.sampling, self.grid.shape)
        return self


class LineJob(_Job):
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


class TrajectoryJob(_Job):
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
        _require_interpolable(self.sampling, (self.surface.num, self.surface.num))
        return self


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


class CurvatureJob(_Job):
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


JobSpec = Annotated[
    InterpolationJob | LineJob | SurfaceJob | TrajectoryJob | CurvatureJob,
    Field(discriminator="kind"),
]
AnyJob = InterpolationJob | LineJob | SurfaceJob | TrajectoryJob | CurvatureJob
JOB_SPEC: TypeAdapter[AnyJob] = TypeAdapter(JobSpec)

#: Every kind of job in the ledger; `ingest` is ours (a model's probe) and cannot be submitted.
JOB_KINDS = ("interpolation", "line", "surface", "trajectory", "curvature", "ingest")


def shape_of(spec: AnyJob) -> tuple[int, ...]:
    """The grid's shape: (n,) for a line, (repeats, n) for several, (ny, nx) for a plane; (1,) for
    a single point.
    """
    match spec:
        case SurfaceJob():
            return spec.grid.shape
        case InterpolationJob():
            return (spec.alpha.num,)
        case LineJob():
            return (spec.repeats, spec.alpha.num)
        case TrajectoryJob():
            return (spec.surface.num, spec.surface.num)
        case CurvatureJob():
            return (1,) if spec.map is None else spec.map.grid.shape
