"""A measure: a number or the reason why there is none, with its definition beside it.

Owns the wire form shared by all derived measures. Computes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Measure:
    """One derived number.

    Attributes:
        value: None when the measure is undefined here; `reason` then says why.
        definition: the rule, complete enough to recompute the value from the grid.
        stderr: standard error inherited from the losses involved, where one follows.
        details: further numbers that belong to it, such as where the minimum lies.
    """

    value: float | None
    definition: str
    stderr: float | None = None
    reason: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        body: dict[str, Any] = {"value": _finite(self.value), "definition": self.definition}
        if self.stderr is not None:
            body["stderr"] = _finite(self.stderr)
        reason = self.reason
        if reason is None and self.value is not None and not math.isfinite(self.value):
            reason = f"the value is {self.value}"
        if reason is not None:
            body["reason"] = reason
        return {**body, **self.details}


def undefined(definition: str, reason: str) -> Measure:
    """A measure that this grid does not have."""
    return Measure(value=None, definition=definition, reason=reason)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
