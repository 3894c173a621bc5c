"""Wire types of jobs."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from pydantic import BaseModel, Field

from service.domain.ids import JobId, LandscapeId, ModelId
from service.domain.states import JobState

#: Shown in the API's documentation, and posted by its tests.
EXAMPLES: Final[dict[str, Any]] = {
    "interpolation": {
        "summary": "The line through two checkpoints",
        "value": {
            "kind": "interpolation",
            "origin": "ckp_01k5m8z3r7q9w2x4y6t8v0b1c3",
            "target": "ckp_01k5m8z3r7q9w2x4y6t8v0b1c4",
            "alpha": {"min": -0.5, "max": 1.5, "num": 51},
            "datasets": ["dst_01k5m8z3r7q9w2x4y6t8v0b1c5"],
            "buffers": "frozen",
        },
    },
    "line": {
        "summary": "Five random directions, one after another",
        "value": {
            "kind": "line",
            "origin": "ckp_01k5m8z3r7q9w2x4y6t8v0b1c3",
            "direction": {"kind": "random", "seed": 1, "normalize": "filter"},
            "repeats": 5,
            "alpha": {"min": -1, "max": 1, "num": 51},
            "datasets": ["dst_01k5m8z3r7q9w2x4y6t8v0b1c5"],
        },
    },
    "surface": {
        "summary": "A filter-normalised surface",
        "value": {
            "kind": "surface",
            "origin": "ckp_01k5m8z3r7q9w2x4y6t8v0b1c3",
            "directions": {
                "x": {"kind": "random", "seed": 1, "normalize": "filter"},
                "y": {"kind": "random", "seed": 2, "normalize": "filter"},
            },
            "grid": {
                "x": {"min": -1, "max": 1, "num": 51},
                "y": {"min": -1, "max": 1, "num": 51},
            },
            "datasets": ["dst_01k5m8z3r7q9w2x4y6t8v0b1c5"],
        },
    },
    "surface_adaptive": {
        "summary": "A surface from few evaluations, within 3 % of the loss",
        "value": {
            "kind": "surface",
            "origin": "ckp_01k5m8z3r7q9w2x4y6t8v0b1c3",
            "directions": {
                "x": {"kind": "random", "seed": 1, "normalize": "filter"},
                "y": {"kind": "random", "seed": 2, "normalize": "filter"},
            },
            "grid": {
                "x": {"min": -1, "max": 1, "num": 51},
                "y": {"min": -1, "max": 1, "num": 51},
            },
            "datasets": ["dst_01k5m8z3r7q9w2x4y6t8v0b1c5"],
            "sampling": {"mode": "adaptive", "tolerance": 0.03},
        },
    },
    "surface_saved_directions": {
        "summary": "A surface along saved directions",
        "value": {
            "kind": "surface",
            "origin": "ckp_01k5m8z3r7q9w2x4y6t8v0b1c3",
            "directions": {
                "x": "dir_01k5m8z3r7q9w2x4y6t8v0b1c6",
                "y": "dir_01k5m8z3r7q9w2x4y6t8v0b1c7",
            },
            "grid": {
                "x": {"min": -1, "max": 1, "num": 25},
                "y": {"min": -1, "max": 1, "num": 25},
            },
            "datasets": ["dst_01k5m8z3r7q9w2x4y6t8v0b1c5"],
            "precision": "float64",
        },
    },
}


class JobKind(StrEnum):
    """Kinds of job; `ingest` is the service's own."""

    INTERPOLATION = "interpolation"
    LINE = "line"
    SURFACE = "surface"
    TRAJECTORY = "trajectory"
    CURVATURE = "curvature"
    INGEST = "ingest"


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
