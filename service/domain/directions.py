"""What a direction is asked to be: the wire form of every kind, digestible and redoable.

Definitions: a direction has the parameters' names and shapes; see `workers.engine.directions`
for the arithmetic.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from service.domain.digests import Digest
from service.domain.ids import CheckpointId, DatasetId, DirectionId


class Normalisation(StrEnum):
    """How the random direction is scaled against the weights (Li et al. 2018, §4)."""

    FILTER = "filter"
    LAYER = "layer"
    WEIGHT = "weight"
    DFILTER = "dfilter"
    DLAYER = "dlayer"
    NONE = "none"


class Ignored(StrEnum):
    """Groups of one-dimensional tensors that a direction leaves at zero."""

    BIAS = "bias"
    NORM = "norm"


class Convention(StrEnum):
    """`li2018` reproduces the reference: by dimension 0, one-dimensional tensors copies of θ."""

    LOSSATLAS = "lossatlas"
    LI2018 = "li2018"


_IGNORE_HELP = (
    "One-dimensional tensors set to zero: `bias` (every one that is no gain or bias of a "
    "normalisation layer) and `norm` (those that are)."
)


class _Spec(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RandomDirection(_Spec):
    """Independent standard Gaussians, reproducible from the seed on any machine."""

    kind: Literal["random"] = "random"
    seed: int = Field(ge=0, lt=2**63, examples=[1])
    normalize: Normalisation = Normalisation.FILTER
    ignore: frozenset[Ignored] = Field(
        default=frozenset({Ignored.BIAS, Ignored.NORM}), description=_IGNORE_HELP
    )
    convention: Convention = Convention.LOSSATLAS
    axis: Literal["x", "y"] | None = Field(
        default=None,
        description="Which of the seed's two streams of numbers. Left out, it is the axis that "
        "the direction is given for, or x; recorded either way.",
    )


class BetweenDirection(_Spec):
    """θ_target − θ_origin; not normalised unless asked."""

    kind: Literal["between"] = "between"
    target: CheckpointId
    normalize: Normalisation = Normalisation.NONE
    ignore: frozenset[Ignored] = Field(default=frozenset(), description=_IGNORE_HELP)


class UploadedDirection(_Spec):
    """A safetensors object with the parameters' names and shapes, used as it is.

    With `prefix`, tensors are named `<prefix><parameter>`, so that one object can hold both
    axes (`x.` and `y.`).
    """

    kind: Literal["uploaded"] = "uploaded"
    object: Digest
    prefix: str = Field(default="", max_length=64, examples=["x."])
    normalize: Normalisation = Normalisation.NONE
    ignore: frozenset[Ignored] = Field(default=frozenset(), description=_IGNORE_HELP)


class GradientDirection(_Spec):
    """∇L at the origin, uphill, over one data set; not normalised unless asked."""

    kind: Literal["gradient"] = "gradient"
    dataset: DatasetId | None = Field(
        default=None, description="Left out, the job's first data set; recorded either way."
    )
    normalize: Normalisation = Normalisation.NONE
    ignore: frozenset[Ignored] = Field(default=frozenset(), description=_IGNORE_HELP)


class EigenvectorDirection(_Spec):
    """An eigenvector of the Hessian at the origin: of its most positive or most negative
    eigenvalue. Of unit length unless normalised; its largest component is positive.
    """

    kind: Literal["eigenvector"] = "eigenvector"
    which: Literal["largest", "smallest"] = "largest"
    dataset: DatasetId | None = Field(
        default=None, description="Left out, the job's first data set; recorded either way."
    )
    exclude: frozenset[Ignored] = Field(
        default=frozenset(), description="Parameters that the Hessian is not taken over."
    )
    seed: int = Field(default=0, ge=0, lt=2**63, description="Of Lanczos's start vector.")
    tolerance: float = Field(
        default=1e-4, gt=0, le=1e-1, description="Residual, relative to the largest eigenvalue."
    )
    normalize: Normalisation = Normalisation.NONE
    ignore: frozenset[Ignored] = Field(default=frozenset(), description=_IGNORE_HELP)


class PcaDirection(_Spec):
    """A principal component of a trajectory, of unit length, its largest component positive.

    Made by trajectory jobs; saved ones serve other jobs by their id.
    """

    kind: Literal["pca"] = "pca"
    checkpoints: tuple[CheckpointId, ...] = Field(min_length=3, max_length=10_000)
    component: Literal[1, 2] = 1
    center: Literal["final", "mean"] = "final"
    exclude: frozenset[Ignored] = Field(
        default=frozenset(), description="Parameters that the path is not looked at in."
    )
    normalize: Normalisation = Normalisation.NONE
    ignore: frozenset[Ignored] = Field(default=frozenset(), description=_IGNORE_HELP)


AnyDirection = (
    RandomDirection
    | BetweenDirection
    | UploadedDirection
    | GradientDirection
    | EigenvectorDirection
    | PcaDirection
)

#: What a caller may ask for inline or save.
DirectionSpec = Annotated[
    RandomDirection
    | BetweenDirection
    | UploadedDirection
    | GradientDirection
    | EigenvectorDirection,
    Field(discriminator="kind"),
]

#: In a job: a saved direction by id, or one given inline (and recorded all the same).
DirectionChoice = DirectionId | DirectionSpec


class PlaneDirections(_Spec):
    """The two directions of a surface."""

    x: DirectionChoice
    y: DirectionChoice
