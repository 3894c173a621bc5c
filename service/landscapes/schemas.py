"""Wire types of landscapes."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, Field

from service.domain.ids import CheckpointId, JobId, LandscapeId, ModelId


class SortBy(StrEnum):
    """Orders of the list; `-` is descending."""

    NEWEST = "-created_at"
    OLDEST = "created_at"


class LandscapeKind(StrEnum):
    """What was asked for."""

    INTERPOLATION = "interpolation"
    SURFACE = "surface"
    TRAJECTORY = "trajectory"
    CURVATURE = "curvature"


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
    spec: dict[str, Any]
    input_digest: str = Field(description="Names the question: equal digests, equal results.")
    data: str = Field(description="Digest of the arrays.")
    derived: dict[str, Any] = Field(description="Measures, each with its name and definition.")
    provenance: dict[str, Any] = Field(description="Everything needed to compute it again.")
    links: dict[str, str]
    created_at: datetime
    created_by: str | None


class LandscapePage(BaseModel):
    """In the order asked for."""

    items: list[LandscapeOut]
    next_cursor: str | None
