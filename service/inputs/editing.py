"""What people may change of a thing once it is there, and its history, as the wire has them.

Owns the types alone. Results never change.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from service.domain.ids import Tag
from service.domain.printable import PrintableLines
from service.ledger.edits import Edit
from service.ledger.records import EditRecord

#: Line breaks are welcome in a note, other control characters are not.
Note = Annotated[
    str,
    StringConstraints(max_length=4000, pattern=r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*$"),
    PrintableLines,
]


class EditIn(BaseModel):
    """What to change; what is left out stays."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        json_schema_extra={
            "examples": [{"tags": ["paper", "figure-3"], "note": "The one for the talk."}]
        },
    )

    tags: Annotated[frozenset[Tag], Field(max_length=32)] | None = Field(
        default=None, description="In place of those it has."
    )
    note: Note | None = Field(default=None, description="Empty takes it away.")

    def edit(self) -> Edit:
        """As the ledger takes it."""
        return Edit(tags=self.tags, note=self.note)


class EditOut(BaseModel):
    """One field, before and after."""

    id: int
    at: datetime
    by: str | None = Field(description="The key that did it.")
    field: str = Field(examples=["tags"])
    before: Any
    after: Any


class HistoryOut(BaseModel):
    """Newest first; the newest two hundred."""

    items: list[EditOut]


def shown_history(edits: Iterable[EditRecord]) -> HistoryOut:
    """Edits as the wire shows them."""
    return HistoryOut(
        items=[
            EditOut(id=e.id, at=e.at, by=e.key_id, field=e.field, before=e.before, after=e.after)
            for e in edits
        ]
    )
