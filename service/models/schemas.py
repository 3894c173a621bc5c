"""Wire types of models."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from service.domain.digests import Digest
from service.domain.ids import DisplayName, ModelId, ProjectName, Tag
from service.domain.losses import LossName, LossOptions
from service.domain.states import ModelState
from service.inputs.plain import PlainObject

_EXAMPLE_DIGEST = "sha256:" + "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

ArchitectureName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]


class Architecture(BaseModel):
    """A network that this installation can build by name."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: ArchitectureName = Field(examples=["resnet56"])
    config: PlainObject = Field(
        default_factory=dict, description="Arguments of the architecture.", examples=[{"width": 16}]
    )


class NewModel(BaseModel):
    """A network to study: exactly one of `program` and `architecture`."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        json_schema_extra={
            "examples": [
                {
                    "project": "digits",
                    "name": "resnet-20 without skips",
                    "program": _EXAMPLE_DIGEST,
                    "loss": "cross_entropy",
                    "tags": ["noskip"],
                    "metadata": {"optimizer": "sgd", "batch_size": 128},
                }
            ]
        },
    )

    project: ProjectName = Field(description="Made on first use.")
    name: DisplayName = Field(description="For people; need not be unique.")
    program: Digest | None = Field(
        default=None,
        description="A `torch.export` archive (`.pt2`), uploaded before by PUT /v1/objects/….",
    )
    architecture: Architecture | None = None
    loss: LossName = LossName.CROSS_ENTROPY
    loss_options: LossOptions = LossOptions()
    tags: frozenset[Tag] = Field(default=frozenset(), max_length=32)
    metadata: PlainObject = Field(default_factory=dict)


class TensorOut(BaseModel):
    """A tensor by name. `null` in a shape is a size that may vary."""

    name: str
    dtype: str
    shape: list[int | None]


class OutputOut(BaseModel):
    """A result of the network; its type and shape are known once a worker has probed it."""

    name: str
    dtype: str | None = None
    shape: list[int | None] | None = None


class SignatureOut(BaseModel):
    """What the network takes and gives."""

    parameters: list[TensorOut]
    buffers: list[TensorOut]
    inputs: list[TensorOut]
    outputs: list[OutputOut]
    parameter_count: int


class ModelOut(BaseModel):
    """A registered network."""

    id: ModelId
    project: str
    name: str
    program: str | None
    architecture: Architecture | None
    loss: LossName
    loss_options: LossOptions
    tags: list[str]
    note: str | None = Field(description="By people, for people.")
    metadata: dict[str, Any]
    state: ModelState = Field(
        description="`checked`: its structure was read; `ready`: a worker bound and probed it; "
        "`refused`: a worker could not, and `problem` says why."
    )
    problem: dict[str, Any] | None = Field(description="Why the model was refused.")
    signature: SignatureOut | None = Field(
        description="Parameters, buffers, inputs and outputs; null until a named architecture "
        "has been built by a worker."
    )
    created_at: datetime
    created_by: str | None
    links: dict[str, str]


class ModelPage(BaseModel):
    """Newest first."""

    items: list[ModelOut]
    next_cursor: str | None
