"""Small charts as geometry: where lines, points and ticks lie on a plate of fixed size. Pure.

The templates draw them as SVG, so that they take the page's colours, dark and light.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from service.catalog.words import number

WIDTH: Final = 560
HEIGHT: Final = 300
LEFT, RIGHT, TOP, BOTTOM = 64, 14, 14, 46
_TICKS: Final = 5
#: A scale spans more than this many times its low end to be logarithmic.
_LOG_RATIO: Final = 100.0
#: Of the scale's length, beyond the outermost marks.
_ROOM: Final = 0.05
#: Values farther from zero are drawn here: beyond, a scale's own arithmetic overflows.
_FARTHEST: Final = 1e100
#: A logarithmic scale does not end nearer to zero.
_NEAREST: Final = 1e-100
#: Values that differ by less than this share are one value.
_APART: Final = 1e-9


@dataclass(frozen=True)
class Scale:
    """From values to a length of the plate.

    Attributes:
        start, end: where `low` and `high` lie.
        whole: what is told is counted, so ticks are whole numbers.
    """

    low: float
    high: float
    log: bool
    start: float
    end: float
    whole: bool = False

    def at(self, value: float) -> float:
        """Where a value lies; beyond the ends it is drawn at them."""
        low, high, here = self.low, self.high, value
        if self.log:
            low, high, here = (math.log10(max(v, self.low)) for v in (low, high, here))
        share = 0.5 if high == low else (here - low) / (high - low)
        return round(self.start + min(1.0, max(0.0, share)) * (self.end - self.start), 2)

    def ticks(self) -> list[tuple[float, str]]:
        """Where ticks lie, and what they say."""
        return [(self.at(value), number(value)) for value in _ticks(self)]


@dataclass(frozen=True)
class Mark:
    """A point that can be followed."""

    x: float
    y: float
    label: str
    href: str | None = None
    emphasised: bool = False


@dataclass(frozen=True)
class Line:
    """A polyline, and the same numbers for those who do not see it."""

    name: str
    points: str
    place: int


@dataclass(frozen=True)
class Chart:
    """A plate with two axes.

    Attributes:
        label: what it shows, in words.
    """

    label: str
    x_name: str
    y_name: str
    x: Scale
    y: Scale
    lines: Sequence[Line] = ()
    marks: Sequence[Mark] = ()

    width = WIDTH
    height = HEIGHT
    left = LEFT
    right = WIDTH - RIGHT
    top = TOP
    bottom = HEIGHT - BOTTOM


def x_scale(
    values: Sequence[float], *, log: bool | None = False, room: bool = False, whole: bool = False
) -> Scale:
    """A scale from left to right over these values, with `room` beyond them for marks."""
    return replace(_scale(values, log, LEFT, WIDTH - RIGHT, room), whole=whole)


def y_scale(values: Sequence[float], *, log: bool | None = None, room: bool = False) -> Scale:
    """A scale from bottom to top; `log` None chooses it for more than two decades."""
    return _scale(values, log, HEIGHT - BOTTOM, TOP, room)


def polyline(x: Scale, y: Scale, points: Sequence[tuple[float, float | None]]) -> str:
    """The attribute `d` of a path through the points, interrupted where a value is missing."""
    steps, down = [], False
    for at, value in points:
        if value is None or not math.isfinite(value):
            down = False
            continue
        steps.append(f"{'L' if down else 'M'}{x.at(at)} {y.at(value)}")
        down = True
    return "".join(steps)


def _scale(
    values: Sequence[float], log: bool | None, start: float, end: float, room: bool
) -> Scale:
    known = [min(max(v, -_FARTHEST), _FARTHEST) for v in values if math.isfinite(v)]
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    if log is None:
        log = low > 0 and high / low > _LOG_RATIO
    log = log and low >= _NEAREST
    if high - low <= _APART * max(abs(low), abs(high), _NEAREST):
        half = max(0.5, 0.1 * abs(low))
        low, high = (low / 2, high * 2) if log else (low - half, high + half)
    if room and log:
        beyond = (high / low) ** _ROOM
        low, high = low / beyond, high * beyond
    elif room:
        low, high = low - _ROOM * (high - low), high + _ROOM * (high - low)
    return Scale(low, high, log, start, end)


def _steps(scale: Scale) -> tuple[float, ...]:
    return (1, 2, 5, 10) if scale.whole else (1, 2, 2.5, 5, 10)


def _ticks(scale: Scale) -> list[float]:
    if scale.log:
        first, last = math.ceil(math.log10(scale.low)), math.floor(math.log10(scale.high))
        step = max(1, math.ceil((last - first + 1) / _TICKS))
        decades = [10.0**k for k in range(first, last + 1, step)]
        if len(decades) >= 3:
            return decades
        found = [m * 10.0**k for k in range(first - 1, last + 1) for m in (1, 2, 5)]
        return [value for value in found if scale.low <= value <= scale.high]
    span = scale.high - scale.low
    raw = max(span / _TICKS, 1.0) if scale.whole else span / _TICKS
    size = 10.0 ** math.floor(math.log10(raw))
    step_size = next(size * m for m in _steps(scale) if size * m >= raw)
    first_tick = math.ceil(scale.low / step_size - 1e-9)
    ticks = []
    k = first_tick
    while k * step_size <= scale.high + 1e-9 * span:
        ticks.append(round(k * step_size, 12))
        k += 1
    return ticks
