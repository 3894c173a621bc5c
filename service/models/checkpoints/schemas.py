"""Wire types of checkpoints."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, StringConstraints

from service.domain.digests import Digest
from service.domain.ids import CheckpointId, DisplayName, ModelId

MetricName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/ -]{0,63}$")]


class NewCheckpoint(BaseModel):
    """Weights of a model at one moment of its training."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        json_schema_extra={
            "examples": [
                {
                    "weights": "sha256:"
                    "60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752",
                    "step": 7800,
                    "epoch": 20,
                    "label": "final",
                    "metrics": {"train_loss": 0.012, "test_accuracy": 0.931},
                    "learning_rate": 0.01,
                }
            ]
        },
    )

    weights: Digest = Field(
        description="A safetensors file with the program's parameters and buffers by name, "
        "uploaded before by PUT /v1/objects/…."
    )
    step: int | None = Field(default=None, ge=0, lt=2**53, description="Optimiser steps so far.")
    epoch: FiniteFloat | None = Field(default=None, ge=0, description="Epochs so far.")
    label: DisplayName | None = None
    metrics: dict[MetricName, FiniteFloat] = Field(default_factory=dict, max_length=100)
    learning_rate: FiniteFloat | None = Field(
        default=None, ge=0, description="In force from here on; drops are marked on trajectories."
    )


class CheckpointOut(BaseModel):
    """Registered weights. A model's checkpoints in order of `seq` are its trajectory."""

    id: CheckpointId
    model: ModelId
    seq: int = Field(description="Place in the model's order of checkpoints, from 0.")
    weights: str
    step: int | None
    epoch: float | None
    label: str | None
    metrics: dict[str, float]
    learning_rate: float | None
    created_at: datetime
    created_by: str | None
    links: dict[str, str]


class CheckpointPage(BaseModel):
    """In the model's order."""

    items: list[CheckpointOut]
    next_cursor: str | None
