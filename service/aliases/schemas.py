"""Wire types of aliases."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from service.domain.ids import DisplayName, is_id


def _target(text: str) -> str:
    if not any(is_id(kind, text) for kind in ("mdl", "ckp", "lsc")):
        raise ValueError(
            "is not the id of a model (`mdl_…`), a checkpoint (`ckp_…`) or a landscape (`lsc_…`)"
        )
    return text


class NewTarget(BaseModel):
    """Where an alias shall point."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        json_schema_extra={
            "examples": [{"target": "lsc_01k5m8z3r7c2v9x4w6q1t8n0pd", "note": "release 12"}]
        },
    )

    target: Annotated[str, AfterValidator(_target)] = Field(
        description="Id of a model, a checkpoint or a landscape of the alias's project.",
    )
    note: DisplayName | None = Field(default=None, description="Why, for the history.")


class AliasOut(BaseModel):
    """A name for a model, a checkpoint or a landscape."""

    project: str
    name: str = Field(examples=["prod"])
    alias: str = Field(description="As it is written elsewhere.", examples=["vision/prod"])
    target: str
    revision: int = Field(description="Of the last move; the `ETag` too.")
    note: str | None
    moved_at: datetime
    moved_by: str | None
    links: dict[str, str]


class AliasPage(BaseModel):
    """By project and name."""

    items: list[AliasOut]
    next_cursor: str | None


class MoveOut(BaseModel):
    """A move on record."""

    revision: int
    from_target: str | None = Field(description="Null: the alias was made.")
    to_target: str | None = Field(description="Null: the alias was removed.")
    note: str | None
    at: datetime
    by: str | None = Field(description="Id of the key that moved it.")


class MovePage(BaseModel):
    """Newest first."""

    items: list[MoveOut]
    next_cursor: str | None
