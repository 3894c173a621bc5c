"""What a file says of itself beside the values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class About:
    """Where values come from.

    Attributes:
        title: a line for people.
        provenance: everything needed to compute the same numbers again; JSON.
        derived: measures, each with its value and definition; JSON.
        splits: `train`, `test` or another word for a data set, by its name; None if not known.
    """

    landscape: str
    kind: str
    title: str
    model: str | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    derived: Mapping[str, Any] = field(default_factory=dict)
    splits: Mapping[str, str | None] = field(default_factory=dict)
