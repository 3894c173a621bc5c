"""Wire types of data sets."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from service.domain.digests import Digest
from service.domain.ids import DatasetId, DisplayName, ProjectName


class NewDataset(BaseModel):
    """Samples to evaluate on."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        json_schema_extra={
            "examples": [
                {
                    "project": "digits",
                    "name": "digits",
                    "object": "sha256:"
                    "fd61a03af4f77d870fc21e05e7e80678095c92d808cfb3b5c279ee04c74aca13",
                    "split": "train",
                }
            ]
        },
    )

    project: ProjectName = Field(description="Made on first use.")
    name: DisplayName
    object: Digest = Field(
        description="A safetensors file with `inputs` (or `inputs.<name>` for programs of several "
        "inputs) and `targets`, first dimension = samples; uploaded before by PUT /v1/objects/…."
    )
    split: DisplayName | None = Field(default=None, examples=["train", "test"])


class ColumnOut(BaseModel):
    """One tensor of the data set, without the dimension of samples."""

    dtype: str
    shape: list[int]


class TargetsOut(ColumnOut):
    """Integer targets also say their range, so that classes out of range are seen early."""

    min: int | None = None
    max: int | None = None


class DatasetOut(BaseModel):
    """A registered data set."""

    id: DatasetId
    project: str
    name: str
    split: str | None
    object: str
    samples: int
    inputs: dict[str, ColumnOut]
    targets: TargetsOut
    created_at: datetime
    created_by: str | None
    links: dict[str, str]


class DatasetPage(BaseModel):
    """Newest first."""

    items: list[DatasetOut]
    next_cursor: str | None
