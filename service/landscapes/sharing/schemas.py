"""Wire types of shares."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from service.domain.ids import LandscapeId, ShareId
from service.landscapes.figures import FigureQuery

_DAY = 86_400


class NewShare(BaseModel):
    """A link to make."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        json_schema_extra={"examples": [{"expires_in": 604_800, "figure": {"view": "surface"}}]},
    )

    expires_in: int = Field(
        default=7 * _DAY, ge=60, le=90 * _DAY, description="Seconds; 90 days at most."
    )
    figure: FigureQuery = Field(
        default_factory=FigureQuery,
        description="What the figure shows, as for `figure.png`; without `beside`.",
    )


class ShareOut(BaseModel):
    """A link without its secret."""

    id: ShareId
    landscape: LandscapeId
    project: str
    figure: dict[str, Any]
    created_at: datetime
    created_by: str | None
    expires_at: datetime
    revoked_at: datetime | None
    links: dict[str, str]


class MadeShare(ShareOut):
    """A link just made."""

    url: str = Field(
        description="Shown this once and never again. Absolute where the service knows its own "
        "address (LOSSATLAS_PUBLIC_URL).",
        examples=["https://lossatlas.example.org/s/Zk3…"],
    )


class SharePage(BaseModel):
    """Newest first."""

    items: list[ShareOut]
    next_cursor: str | None
