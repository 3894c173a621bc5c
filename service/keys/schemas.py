"""Wire types of API keys."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from service.domain.ids import DisplayName, KeyId, ProjectName
from service.ledger.records import Role


class NewKey(BaseModel):
    """A key to make."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        json_schema_extra={
            "examples": [{"name": "nightly", "role": "submitter", "projects": ["digits"]}]
        },
    )

    name: DisplayName = Field(description="For people: whose key this is.")
    role: Role = Field(
        description="`reader` reads; `submitter` adds too; `admin` manages keys as well."
    )
    projects: Annotated[frozenset[ProjectName], Field(min_length=1, max_length=1000)] | None = (
        Field(default=None, description="Those that the key may touch; left out: all.")
    )
    expires_at: AwareDatetime | None = Field(
        default=None, description="Left out: not before it is revoked."
    )
    can_promote: bool = Field(
        default=False,
        description="May move aliases, which others are judged against. An administrator's key may "
        "anyway; do not give it to a pipeline that is judged.",
    )


class KeyOut(BaseModel):
    """A key without its secret."""

    id: KeyId
    name: str
    role: Role
    projects: list[str] | None = Field(description="Null: all.")
    can_promote: bool = Field(description="May move aliases.")
    created_at: datetime
    created_by: str | None
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None = Field(description="To the minute.")
    links: dict[str, str]


class MadeKey(KeyOut):
    """A key just made."""

    secret: str = Field(
        description="Shown this once and never again.", examples=["la_01k5m8z3r7…_Zk3…"]
    )


class KeyPage(BaseModel):
    """Newest first."""

    items: list[KeyOut]
    next_cursor: str | None
