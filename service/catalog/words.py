"""Numbers, times and landscapes in words, for eyes and for ears. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from service.domain.questions.table import every_measure, question_named

#: Told on cards, in this order.
TELLING: Final = ("sharpness", "barrier", "lambda_max", "center_loss", "minimum", "roughness")


def number(value: float | int | None) -> str:
    """Four significant digits, with a real minus sign."""
    if value is None:
        return "–"
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("−∞" if value < 0 else "+∞")
    if value == int(value) and abs(value) < 1e6:
        text = f"{int(value):,}"
    elif 1e-3 <= abs(value) < 1e6:
        text = f"{value:,.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
    else:
        text = f"{value:.3e}"
    return text.replace("-", "−")


def measure_name(name: str) -> str:
    """What a measure is called in a table."""
    rule = every_measure().get(name)
    return name.replace("_", " ").capitalize() if rule is None else rule.label


def kind_name(kind: str) -> str:
    """What a kind of landscape is called."""
    question = question_named(kind)
    return kind.capitalize() if question is None else question.words.name


def thumbnail(kind: str) -> str | None:
    """The view of small pictures of a kind; None is the usual one."""
    question = question_named(kind)
    return None if question is None else question.words.thumbnail


def count(number_of: int, one: str, many: str | None = None) -> str:
    """`1 landscape`, `2,000 landscapes`."""
    return f"{number_of:,} {one if number_of == 1 else many or one + 's'}"


def when(at: datetime | None) -> str:
    """A moment to the minute, in UTC."""
    return "–" if at is None else f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def stamp(at: datetime) -> str:
    """For the attribute `datetime`."""
    return at.astimezone(UTC).isoformat(timespec="seconds")


def ago(at: datetime, now: datetime | None = None) -> str:
    """How long ago, coarsely; the date when that is more than a month."""
    seconds = ((now or datetime.now(UTC)) - at).total_seconds()
    for limit, size, one in (
        (90, 1, "second"),
        (5400, 60, "minute"),
        (129_600, 3600, "hour"),
        (2_600_000, 86_400, "day"),
    ):
        if seconds < limit:
            return "just now" if seconds < 10 else f"{count(round(seconds / size), one)} ago"
    return f"{at.astimezone(UTC):%Y-%m-%d}"


def duration(seconds: float | None) -> str:
    """`42 s`, `3 min`, `2 h 5 min`."""
    if seconds is None:
        return "–"
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def short(identity: str) -> str:
    """The end of an id or a digest, enough to tell neighbours apart."""
    kind, mark, body = identity.partition("_" if "_" in identity else ":")
    return f"{kind}{mark}…{body[-8:]}" if len(body) > 10 else identity


def pretty(value: Any) -> str:
    """JSON as people read it."""
    return json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True)


def telling(derived: Mapping[str, Any], most: int = 2) -> list[tuple[str, float]]:
    """The measures that say most of a landscape, as (name, value)."""
    found = []
    for name in TELLING:
        value = value_of(derived, name)
        if value is not None:
            found.append((name, value))
    return found[:most]


def value_of(derived: Mapping[str, Any], name: str) -> float | None:
    """A measure's number, if it has one."""
    measure = derived.get(name)
    value = measure.get("value") if isinstance(measure, Mapping) else None
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def described(kind: str, model: str, derived: Mapping[str, Any]) -> str:
    """What a figure shows, from its numbers: for those who do not see it."""
    question = question_named(kind)
    what = "Loss landscape" if question is None else question.words.shows
    parts = []
    centre = value_of(derived, "center_loss")
    if centre is not None:
        parts.append(f"{number(centre)} at the trained weights")
    ends = value_of(derived, "origin_loss"), value_of(derived, "target_loss")
    if ends[0] is not None and ends[1] is not None:
        parts.append(f"{number(ends[0])} at one end and {number(ends[1])} at the other")
    for name, words in (("minimum", "minimum"), ("maximum", "rises to")):
        value = value_of(derived, name)
        if value is not None:
            parts.append(f"{words} {number(value)}{_place(derived[name].get('at'))}")
    for name in ("barrier", "lambda_max", "trace"):
        value = value_of(derived, name)
        if value is not None:
            parts.append(f"{measure_name(name).lower()} {number(value)}")
    told = "; ".join(parts) or "no number could be derived"
    return f"{what} of {model}: {told}."


def _place(at: Any) -> str:
    if not isinstance(at, Sequence) or not at or len(at) > 2:
        return ""
    names = ("α", "β")
    return " at " + ", ".join(
        f"{name} = {number(float(value))}" for name, value in zip(names, at, strict=False)
    )
