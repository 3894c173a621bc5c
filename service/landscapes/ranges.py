"""Ranges on derived measures in a query: `derived.sharpness.max=0.5`. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable

from service.domain.problems import FieldError, Problem
from service.domain.questions.table import every_measure

#: Inclusive bounds; None is no bound.
Bounds = tuple[float | None, float | None]


def parse_ranges(parameters: Iterable[tuple[str, str]]) -> dict[str, Bounds]:
    """The `derived.<measure>.min|max` among a query's parameters, by path in `derived`.

    Raises:
        Problem: `invalid_request` naming each parameter that is no such range.
    """
    bounds: dict[str, dict[str, float]] = {}
    faults = []
    known = every_measure()
    for name, text in parameters:
        if not name.startswith("derived."):
            continue
        measure, _, bound = name.removeprefix("derived.").rpartition(".")
        if measure not in known or bound not in ("min", "max"):
            faults.append(
                FieldError(
                    f"/{name}",
                    f"is no range; use derived.<measure>.min or .max, where <measure> is one of "
                    f"{', '.join(known)}",
                )
            )
            continue
        value = _number(text)
        if value is None:
            faults.append(FieldError(f"/{name}", f"must be a finite number, got {text[:40]!r}"))
        else:
            bounds.setdefault(measure, {})[bound] = value
    if faults:
        raise Problem(
            "invalid_request", f"{faults[0].pointer[1:]}: {faults[0].detail}", errors=faults
        )
    return {f"{name}.value": (b.get("min"), b.get("max")) for name, b in bounds.items()}


def range_names() -> list[str]:
    """Every parameter that is a range."""
    return [f"derived.{name}.{end}" for name in every_measure() for end in ("min", "max")]


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
