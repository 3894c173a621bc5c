"""Wire types of uploads."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from service.domain.digests import Digest
from service.domain.ids import UploadId

_EXAMPLE_DIGEST = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"


class NewUpload(BaseModel):
    """Bytes to come."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        json_schema_extra={"examples": [{"digest": _EXAMPLE_DIGEST, "size": 5_000_000_000}]},
    )

    digest: Digest
    size: int = Field(ge=1, lt=2**63, description="In bytes.")


class PartOut(BaseModel):
    """One part: PUT the bytes `start` to `stop` (which is not included) to its URL."""

    number: int = Field(examples=[1])
    start: int = Field(examples=[0])
    stop: int = Field(examples=[67_108_864])
    url: str = Field(
        description="Takes `stop - start` bytes with their `Content-Length`, and no other number; "
        "no other credentials. Expires."
    )


class UploadOut(BaseModel):
    """An upload and what is to be sent."""

    id: UploadId
    digest: Digest
    size: int
    part_size: int = Field(description="Of every part but the last.")
    state: Literal["open", "completed", "aborted"]
    parts: list[PartOut] = Field(description="Empty unless open.")
    expires_in: int | None = Field(description="Seconds that the URLs are good for.")
    created_at: datetime
    links: dict[str, str]
