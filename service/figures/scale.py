"""The scale of values: its ends, linear or logarithmic, its levels and ticks. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from service.figures.options import FigureOptions

#: No scale ends farther from zero: beyond, the products that drawing takes overflow.
FARTHEST = 1e100
#: A logarithmic scale does not end nearer.
NEAREST = 1e-100

#: A logarithmic scale is chosen by itself beyond this ratio of the ends.
AUTO_LOG_RATIO = 100.0

#: A symmetric scale ends at this share's |value| where the largest is so many times farther.
_MOST_SHARE = 0.95
_FAR = 2.0

#: Mantissas of a decade's levels, from sparse to dense.
_PER_DECADE: tuple[tuple[float, ...], ...] = (
    (1,),
    (1, 3),
    (1, 2, 5),
    (1, 1.5, 2, 3, 5, 7),
    (1, 1.25, 1.5, 2, 2.5, 3, 4, 5, 6, 8),
    tuple(1 + k / 10 for k in range(10))
    + tuple(2 + k / 5 for k in range(15))
    + tuple(5 + k / 2 for k in range(10)),
)


@dataclass(frozen=True)
class Scale:
    """Ends of the colours or of an axis.

    Attributes:
        constant: all values are equal; the ends then lie a little around that value.
        extend: at which ends there are values beyond the scale.
        notes: what a reader has to know of it.
        diverging: zero is the middle, and colours part there.
    """

    low: float
    high: float
    log: bool
    constant: bool
    extend: Literal["neither", "min", "max", "both"]
    notes: tuple[str, ...] = ()
    diverging: bool = False

    def height(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Where values lie, clipped at the ends: themselves, or log₁₀ on a logarithmic scale."""
        limited = np.clip(values, self.low, self.high)
        return np.log10(limited) if self.log else limited

    def ticks(self, count: int) -> NDArray[np.float64]:
        """At most `count` readable values within the ends, ascending."""
        if self.constant:
            return np.array([math.sqrt(self.low * self.high) if self.log else self.middle])
        if self.log:
            return _log_ticks(self.low, self.high, count)
        return _linear_ticks(self.low, self.high, count)

    @property
    def middle(self) -> float:
        return (self.low + self.high) / 2


def scale_of(values: NDArray[np.float64], options: FigureOptions) -> Scale | None:
    """The scale for values of any shape, NaN where there is none; None without any value."""
    known = values[np.isfinite(values)]
    if not len(known):
        return None
    notes: list[str] = []
    log = _logarithmic(known, options, notes)
    used = known[known > 0] if log else known
    low = options.vmin if options.vmin is not None and not (log and options.vmin <= 0) else None
    low = float(used.min()) if low is None else low
    high = options.vmax if options.vmax is not None and options.vmax > low else None
    high = max(low, float(used.max())) if high is None else high
    low, high = (min(max(end, NEAREST if log else -FARTHEST), FARTHEST) for end in (low, high))
    below, above = bool((known < low).any()), bool((known > high).any())
    if log and (known <= 0).any():
        count = int((known <= 0).sum())
        values_lie = "value of zero or less lies" if count == 1 else "values of zero or less lie"
        notes.append(f"{count:,} {values_lie} below the logarithmic scale.")
    constant = _same(low, high)
    if constant:
        low, high = _around(low, log)
    extend: Literal["neither", "min", "max", "both"] = "neither"
    if below or above:
        extend = "both" if below and above else ("min" if below else "max")
    return Scale(low, high, log, constant, extend, tuple(notes))


def scale_of_metric(values: NDArray[np.float64], options: FigureOptions) -> Scale | None:
    """As `scale_of`, with the ends that suit the metric: 0 to 1 for a ratio of curvatures, zero in
    the middle for eigenvalues of both signs and for differences.
    """
    bound = options.vmin is not None or options.vmax is not None or options.log is not None
    known = values[np.isfinite(values)]
    if bound or not len(known):
        return scale_of(values, options)
    if options.metric == "ratio":
        return scale_of(values, replace(options, vmin=0.0, vmax=1.0, log=False))
    signed = options.metric in ("lambda_max", "lambda_min") and known.min() < 0
    if signed or options.metric == "difference":
        return _around_zero(known)
    return scale_of(values, options)


def _around_zero(known: NDArray[np.float64]) -> Scale:
    """Symmetric, and not stretched by a few far values."""
    size = np.abs(known)
    end = float(np.quantile(size, _MOST_SHARE))
    if not end > 0 or size.max() <= _FAR * end:
        end = float(size.max()) or 1.0
    end = min(end, FARTHEST)
    below, above = int((known < -end).sum()), int((known > end).sum())
    notes = []
    if below + above:
        notes.append(
            f"{below + above:,} of {len(known):,} values lie beyond the ends of the scale."
        )
    extend: Literal["neither", "min", "max", "both"] = "neither"
    if below or above:
        extend = "both" if below and above else ("min" if below else "max")
    return Scale(-end, end, False, False, extend, tuple(notes), diverging=True)


def _logarithmic(known: NDArray[np.float64], options: FigureOptions, notes: list[str]) -> bool:
    if options.log is None:
        span = known.min() > 0 and known.max() / known.min() > AUTO_LOG_RATIO
        return options.metric != "accuracy" and bool(span)
    if options.log and not (known > 0).any():
        notes.append("No value is positive, so the scale is linear.")
        return False
    if options.log and options.vmax is not None and options.vmax <= 0:
        notes.append("The scale ends at or below zero, so it is linear.")
        return False
    return options.log


def _same(low: float, high: float) -> bool:
    return math.isclose(low, high, rel_tol=1e-12, abs_tol=1e-300)


def _around(value: float, log: bool) -> tuple[float, float]:
    if log:
        return value / 1.1, value * 1.1
    half = abs(value) * 0.1 or 1.0
    return value - half, value + half


def _linear_ticks(low: float, high: float, count: int) -> NDArray[np.float64]:
    locator = MaxNLocator(nbins=max(1, count - 1), steps=[1, 2, 2.5, 5, 10])
    ticks = _within(np.asarray(locator.tick_values(low, high), dtype=np.float64), low, high)
    # the locator has a lower bound of its own
    return ticks[:: math.ceil(len(ticks) / count)] if len(ticks) > count else ticks


def _log_ticks(low: float, high: float, count: int) -> NDArray[np.float64]:
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    best = np.array([])
    for mantissas in _PER_DECADE:
        decades = range(first, last + 1)
        # 10.0**-5 is not 1e-5: ticks are what their decimal text says
        found = np.array([float(f"{m}e{k}") for k in decades for m in sorted(set(mantissas))])
        found = _within(found, low, high)
        if len(found) > count:
            break
        best = found
    if len(best) < 2:
        whole = _within(np.array([float(f"1e{k}") for k in range(first, last + 1)]), low, high)
        if len(whole) >= 2:
            best = whole[:: math.ceil(len(whole) / count)]
    # a narrow range has too few of the usual mantissas
    if len(best) >= min(3, count) or (len(best) > 1 and high > 10 * low):
        return best
    ticks = _linear_ticks(low, high, count)
    return ticks[ticks >= low * (1 - 1e-9)]


def _within(ticks: NDArray[np.float64], low: float, high: float) -> NDArray[np.float64]:
    slack = 1e-9 * (high - low)
    return ticks[(ticks >= low - slack) & (ticks <= high + slack)]
