"""Wire types of projects."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field


class ProjectChange(BaseModel):
    """What is to hold from now on."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, json_schema_extra={"examples": [{"sharing": True}]}
    )

    sharing: bool = Field(
        description="Whether links to single figures may be made and work. Turned off, the links "
        "that exist are dead; turned on again, those that have not expired work again."
    )


class ProjectOut(BaseModel):
    """A project."""

    name: str
    sharing: bool
    created_at: datetime


class ProjectPage(BaseModel):
    """By name."""

    items: list[ProjectOut]
    next_cursor: str | None
