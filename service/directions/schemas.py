"""Wire types of directions."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final

from pydantic import BaseModel, Field, TypeAdapter

from service.domain.directions import (
    BetweenDirection,
    EigenvectorDirection,
    GradientDirection,
    RandomDirection,
    UploadedDirection,
)
from service.domain.ids import CheckpointId, DatasetId, DirectionId, ModelId


class NewRandomDirection(RandomDirection):
    """Gaussian numbers, scaled against the weights of `checkpoint`."""

    checkpoint: CheckpointId


class NewBetweenDirection(BetweenDirection):
    """θ_target − θ_checkpoint."""

    checkpoint: CheckpointId


class NewUploadedDirection(UploadedDirection):
    """A safetensors object with the parameters' names and shapes."""

    checkpoint: CheckpointId


class NewGradientDirection(GradientDirection):
    """∇L at `checkpoint` over `dataset`, uphill."""

    checkpoint: CheckpointId
    dataset: DatasetId


class NewEigenvectorDirection(EigenvectorDirection):
    """An eigenvector of the Hessian at `checkpoint`, over `dataset`."""

    checkpoint: CheckpointId
    dataset: DatasetId


AnyNewDirection = (
    NewRandomDirection
    | NewBetweenDirection
    | NewUploadedDirection
    | NewGradientDirection
    | NewEigenvectorDirection
)
NEW_DIRECTION: TypeAdapter[AnyNewDirection] = TypeAdapter(
    Annotated[AnyNewDirection, Field(discriminator="kind")]
)


#: Shown in the API's documentation.
EXAMPLES: Final[dict[str, Any]] = {
    "random": {
        "summary": "Filter-normalised Gaussian numbers",
        "value": {
            "checkpoint": "ckp_01k5m8z3r7q9w2x4y6t8v0b1c3",
            "kind": "random",
            "seed": 1,
            "normalize": "filter",
            "ignore": ["bias", "norm"],
        },
    },
    "between": {
        "summary": "Towards another checkpoint",
        "value": {
            "checkpoint": "ckp_01k5m8z3r7q9w2x4y6t8v0b1c3",
            "kind": "between",
            "target": "ckp_01k5m8z3r7q9w2x4y6t8v0b1c4",
        },
    },
    "eigenvector": {
        "summary": "Where the loss curves most",
        "value": {
            "checkpoint": "ckp_01k5m8z3r7q9w2x4y6t8v0b1c3",
            "kind": "eigenvector",
            "which": "largest",
            "dataset": "dst_01k5m8z3r7q9w2x4y6t8v0b1c5",
        },
    },
    "uploaded": {
        "summary": "One of your own",
        "value": {
            "checkpoint": "ckp_01k5m8z3r7q9w2x4y6t8v0b1c3",
            "kind": "uploaded",
            "object": "sha256:60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752",
            "prefix": "x.",
        },
    },
}


class DirectionOut(BaseModel):
    """A recorded direction: the same spec at the same checkpoint is one direction."""

    id: DirectionId
    project: str
    model: ModelId
    checkpoint: CheckpointId
    spec: dict[str, Any] = Field(description="As resolved: every default filled in.")
    materialised: bool = Field(
        description="Whether its tensors exist. A job computes them when it first uses the "
        "direction."
    )
    norm: float | None = Field(description="‖d‖ as used, once materialised.")
    created_at: datetime
    created_by: str | None
    links: dict[str, str]


class DirectionPage(BaseModel):
    """Newest first."""

    items: list[DirectionOut]
    next_cursor: str | None
