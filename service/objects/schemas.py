"""Wire types of objects."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, Field

from service.domain.digests import Digest


class ObjectOut(BaseModel):
    """Bytes that the service has, verified."""

    digest: Digest = Field(
        examples=["sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"]
    )
    size: int = Field(examples=[4])
    created_at: datetime = Field(description="Since when they are there for this key.")
    links: dict[str, str]
