"""Wire types of jobs."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field

from service.domain.ids import JobId, LandscapeId, ModelId
from service.domain.questions.table import INGEST, kinds
from service.domain.states import JobState

if TYPE_CHECKING:
    JobKind = StrEnum
else:
    JobKind = StrEnum("JobKind", {kind.upper(): kind for kind in (*kinds(), INGEST)})
    JobKind.__doc__ = "Kinds of job; `ingest` is the service's own."


class ProgressOut(BaseModel):
    """How far a job is."""

    phase: str = Field(examples=["tile"])
    done: int = Field(examples=[1200])
    total: int | None = Field(
        description="Null until the job is planned. Grows with each round of adaptive sampling.",
        examples=[2601],
    )
    unit: str = Field(examples=["cells"])
    eta_seconds: float | None = Field(
        description="Of what is planned so far. Null while too little is known, and once finished.",
        examples=[41.5],
    )


class JobOut(BaseModel):
    """A job and its state."""

    id: JobId
    kind: str = Field(examples=["surface"])
    project: str
    model: ModelId
    state: JobState
    progress: ProgressOut
    memory_bytes: int | None = Field(
        description="What a worker is expected to need at its peak. Null until the job is planned, "
        "and for curvature, whose memory is a budget.",
        examples=[412_000_000],
    )
    attempt: int = Field(description="1, and one more for each retry.")
    spec: dict[str, Any] = Field(
        description="As submitted, every default filled in and directions resolved."
    )
    directions: dict[str, str] = Field(description="Recorded directions by axis.")
    priority: int
    tags: list[str]
    notes: list[str] = Field(
        description="What to know of the question before its answer: running statistics that fit "
        "no other network than the origin. Empty for most jobs.",
        examples=[[]],
    )
    landscape: LandscapeId | None = Field(description="The result, once succeeded.")
    error: dict[str, Any] | None = Field(description="The problem, once failed.")
    links: dict[str, str]
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    created_by: str | None


class JobPage(BaseModel):
    """Newest first."""

    items: list[JobOut]
    next_cursor: str | None


class EventOut(BaseModel):
    """Something that happened to a job. Ids grow; resume after one with `Last-Event-ID`."""

    id: int
    type: str = Field(examples=["unit_done"])
    data: dict[str, Any]
    at: datetime


class EventList(BaseModel):
    """In order."""

    items: list[EventOut]
