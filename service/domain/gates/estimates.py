"""A derived measure as a gate reads it: a value, its standard error, and bounds that are certain.

Two kinds of error are kept apart. A standard error says how far other samples would have moved the
value. Bounds hold whatever the samples: a basin that leaves the grid is at least so wide; an
eigenvalue lies within its residual of the value, or beyond it where Lanczos has not converged.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from service.domain.derived.rule import Reads
from service.domain.questions.table import measure_reads

#: Per cent intervals of 95 are taken as two standard errors on either side.
_HALF_WIDTHS: Final = 2.0


@dataclass(frozen=True)
class Estimate:
    """A measure's value and what is known of its error.

    Attributes:
        value: None where the measure is undefined; `reason` then says why.
        stderr: None where the measure has none; NaN where it has one that is not known.
        low, high: between which the value lies for certain, but for the standard error.
        definition: of the measure.
    """

    value: float | None
    definition: str
    stderr: float | None = None
    low: float = -math.inf
    high: float = math.inf
    reason: str | None = None

    @classmethod
    def exactly(cls, value: float) -> Estimate:
        """A value without any error."""
        return cls(value, "", None, value, value)

    def to_json(self) -> dict[str, Any]:
        """`value stderr low high`; null for what is not known, and for a side without a bound."""
        known = self.value is not None
        return {
            "value": self.value,
            "stderr": _finite(self.stderr),
            "low": _finite(self.low) if known else None,
            "high": _finite(self.high) if known else None,
        }


def tolerance_of(derived: Mapping[str, Any]) -> float | None:
    """Of the loss in cells that were interpolated, relative; None where every cell was evaluated.

    Args:
        derived: a landscape's, as `service.domain.adaptive` completes them.
    """
    sampling = derived.get("sampling")
    if not isinstance(sampling, Mapping) or sampling.get("mode") != "adaptive":
        return None
    if sampling.get("evaluations") == sampling.get("cells"):
        return None
    return _number(sampling.get("tolerance")) or 0.0


def estimate(
    name: str, measures: Mapping[str, Any], tolerance: float | None = None
) -> Estimate | None:
    """A measure of one data set; None where these measures lack it altogether.

    Args:
        measures: as `service.domain.derived.measure` writes them for a data set.
        tolerance: from `tolerance_of`. Extremes then have an error of their own, 95 % of cells
            being within it; for measures of shape it is not known.
    """
    body = measures.get(name)
    if not isinstance(body, Mapping):
        return None
    definition = str(body.get("definition") or "")
    value = _number(body.get("value"))
    if value is None:
        why = str(body.get("reason") or "it has no value")
        return Estimate(None, definition, reason=why)
    low, high = _bounds(name, value, body, measures)
    stderr = _stderr(value, body)
    # what this release does not know may be read from interpolated cells
    reads = measure_reads(name) if tolerance is not None else Reads.ANCHORS
    if reads is None or reads is Reads.SHAPE:
        stderr = math.nan
    elif tolerance is not None and reads is Reads.CELL:
        stderr = math.hypot(stderr or 0.0, tolerance * _loss(name, value, measures) / _HALF_WIDTHS)
    return Estimate(value, definition, stderr, low, high)


def _loss(name: str, value: float, measures: Mapping[str, Any]) -> float:
    """The loss of the cell that an extreme was read from."""
    if name != "sharpness":
        return abs(value)
    centre = measures.get("center_loss")
    at_centre = _number(centre.get("value")) if isinstance(centre, Mapping) else None
    return math.nan if at_centre is None else abs(value + at_centre)


def _stderr(value: float, body: Mapping[str, Any]) -> float | None:
    if "stderr" not in body:
        return None
    error = _number(body["stderr"])
    if error is None:
        return math.nan
    interval = body.get("interval")
    if isinstance(interval, list | tuple) and len(interval) == 2:
        # of few samples, an interval by Student's t is wider than two standard errors
        ends = [_number(end) for end in interval]
        widths = [abs(end - value) for end in ends if end is not None]
        error = max([error, *(width / _HALF_WIDTHS for width in widths)])
    return error


def _bounds(
    name: str, value: float, body: Mapping[str, Any], measures: Mapping[str, Any]
) -> tuple[float, float]:
    low, high = value, value
    if "residual" in body:
        residual = _number(body["residual"])
        low, high = (
            (-math.inf, math.inf) if residual is None else (value - residual, value + residual)
        )
    # the ends of a Krylov space lie inside the spectrum: what has not converged lies further out
    if body.get("converged") is False and name == "lambda_max":
        high = math.inf
    elif body.get("converged") is False:
        low = -math.inf
    if body.get("at_least") is True:
        high = math.inf
    if name == "convexity_ratio":
        ends = (measures.get("lambda_max"), measures.get("lambda_min"))
        if any(isinstance(end, Mapping) and end.get("converged") is False for end in ends):
            low, high = 0.0, math.inf
    return low, high


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
