"""Networks that a line or plane passes through: their own losses beside what is shown there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class NetworkValues:
    """A network with its own running statistics; by data set, NaN where a loss is not finite.

    Attributes:
        role: `origin`; `target` of a line; `x` or `y`, the direction that leads to it.
        at: (α,) on a line, (α, β) on a plane.
        loss, stderr: its own.
        accuracy: its own, a fraction; {} where the loss has none.
        loss_there: what the line or plane gives at its place.
    """

    role: str
    checkpoint: str | None
    label: str | None
    at: tuple[float, ...]
    loss: Mapping[str, float]
    stderr: Mapping[str, float]
    accuracy: Mapping[str, float]
    loss_there: Mapping[str, float]

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> NetworkValues:
        """Reads one object of the grid JSON's `networks`."""
        own = body["datasets"]
        there = body.get("on_line", body.get("on_plane", {}))
        return cls(
            role=body["role"],
            checkpoint=body.get("checkpoint"),
            label=body.get("label"),
            at=tuple(body["at"]),
            loss=_column(own, "loss"),
            stderr=_column(own, "stderr"),
            accuracy=_column(own, "accuracy"),
            loss_there=_column(there, "loss"),
        )


def _column(values: Mapping[str, Mapping[str, Any]], key: str) -> dict[str, float]:
    return {
        name: np.nan if value[key] is None else float(value[key])
        for name, value in values.items()
        if key in value
    }
