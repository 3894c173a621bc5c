"""Wire types of landscapes."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field

from service.domain.ids import CheckpointId, JobId, LandscapeId, ModelId
from service.domain.questions.table import kinds


class SortBy(StrEnum):
    """Orders of the list; `-` is descending. By a measure: those that have it."""

    NEWEST = "-created_at"
    OLDEST = "created_at"
    LEAST_BARRIER = "barrier"
    MOST_BARRIER = "-barrier"
    LEAST_BASIN_WIDTH = "basin_width"
    MOST_BASIN_WIDTH = "-basin_width"
    LEAST_CENTER_LOSS = "center_loss"
    MOST_CENTER_LOSS = "-center_loss"
    LEAST_LAMBDA_MAX = "lambda_max"
    MOST_LAMBDA_MAX = "-lambda_max"
    LEAST_MINIMUM = "minimum"
    MOST_MINIMUM = "-minimum"
    LEAST_ROUGHNESS = "roughness"
    MOST_ROUGHNESS = "-roughness"
    LEAST_SHARPNESS = "sharpness"
    MOST_SHARPNESS = "-sharpness"


if TYPE_CHECKING:
    LandscapeKind = StrEnum
else:
    LandscapeKind = StrEnum("LandscapeKind", {kind.upper(): kind for kind in kinds()})
    LandscapeKind.__doc__ = "What was asked for."


class LandscapeOut(BaseModel):
    """A finished, immutable result."""

    id: LandscapeId
    project: str
    job: JobId
    kind: str = Field(examples=["surface"])
    model: ModelId
    origin: CheckpointId | None
    title: str | None
    tags: list[str]
    note: str | None = Field(description="By people, for people.")
    spec: dict[str, Any]
    input_digest: str = Field(description="Names the question: equal digests, equal results.")
    data: str = Field(description="Digest of the arrays.")
    derived: dict[str, Any] = Field(description="Measures, each with its name and definition.")
    provenance: dict[str, Any] = Field(description="Everything needed to compute it again.")
    outdated: str | None = Field(
        description="What to know of numbers that were computed under older definitions, in words. "
        "Null where they are of today."
    )
    links: dict[str, str]
    created_at: datetime
    created_by: str | None


class LandscapePage(BaseModel):
    """In the order asked for."""

    items: list[LandscapeOut]
    next_cursor: str | None
