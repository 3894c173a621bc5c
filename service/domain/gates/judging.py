"""Verdicts: rules held against estimates. Pure.

A limit is kept (`pass`) or broken (`fail`) only where the errors leave no doubt; where the limit
lies inside them, or a value is undefined, NaN or missing, the verdict is `inconclusive`. Nothing
passes that has no number.

The error of a difference is the root of the sum of squares. Candidate and baseline were evaluated
on the same samples, whose losses mostly rise and fall together, so that this is usually generous.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

from service.domain.gates.estimates import Estimate
from service.domain.gates.rules import RELATIVE, Rule, limit_text

#: Standard errors that count as doubt unless another number is asked for: about 95 per cent.
STANDARD_ERRORS: Final = 2.0


class Verdict(StrEnum):
    """What a gate says."""

    PASS = "pass"  # noqa: S105 (no password)
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True)
class Judged:
    """One limit, held against the numbers.

    Attributes:
        limit: the bound in the measure's own units; None where the baseline has no value.
        error: doubt about value minus limit, in the measure's units, bounds left aside.
        margin: how far inside the limit the value lies; negative when it is beyond.
    """

    name: str
    given: float
    limit: float | None
    error: float | None
    margin: float | None
    verdict: Verdict
    reason: str | None = None

    def to_json(self) -> dict[str, Any]:
        body: dict[str, Any] = {
            "limit": self.name,
            "given": self.given,
            "text": limit_text(self.name, self.given),
            "bound": _finite(self.limit),
            "error": _finite(self.error),
            "margin": _finite(self.margin),
            "verdict": self.verdict.value,
        }
        return body if self.reason is None else {**body, "reason": self.reason}


@dataclass(frozen=True)
class RuleVerdict:
    """A rule with its numbers and what follows."""

    rule: Rule
    value: Estimate
    baseline: Estimate | None
    limits: tuple[Judged, ...]

    @property
    def verdict(self) -> Verdict:
        """The worst of its limits'."""
        return worst(judged.verdict for judged in self.limits)

    @property
    def reason(self) -> str | None:
        """Why it does not pass; None when it does."""
        verdict = self.verdict
        return next((j.reason for j in self.limits if j.verdict is verdict and j.reason), None)

    def to_json(self) -> dict[str, Any]:
        return {
            "rule": self.rule.to_json(),
            "text": self.rule.text(),
            "verdict": self.verdict.value,
            "reason": self.reason,
            "definition": self.value.definition,
            **self.value.to_json(),
            "baseline": None if self.baseline is None else self.baseline.to_json(),
            "limits": [judged.to_json() for judged in self.limits],
        }


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """One broken rule fails all; one in doubt leaves all in doubt."""
    found = set(verdicts)
    for verdict in (Verdict.FAIL, Verdict.INCONCLUSIVE):
        if verdict in found:
            return verdict
    return Verdict.PASS


def judge(
    rule: Rule,
    value: Estimate,
    baseline: Estimate | None,
    *,
    standard_errors: float = STANDARD_ERRORS,
    identical: bool = False,
) -> RuleVerdict:
    """Holds one rule against a value.

    Args:
        baseline: of the same measure; needed where the rule has limits against it.
        standard_errors: how many count as doubt; 0 judges the values alone.
        identical: value and baseline are the same numbers, so that their errors cancel.
    """
    limits: Sequence[Judged] = [
        _limit(name, given, value, baseline, standard_errors, identical)
        for name, given in rule.limits.items()
    ]
    return RuleVerdict(rule, value, baseline if rule.needs_baseline else None, tuple(limits))


def _limit(
    name: str,
    given: float,
    value: Estimate,
    baseline: Estimate | None,
    standard_errors: float,
    identical: bool,
) -> Judged:
    against = baseline if name in RELATIVE else Estimate.exactly(given)
    if value.value is None:
        return _open(name, given, f"the value is undefined: {value.reason}")
    if against is None or against.value is None:
        why = "there is none" if against is None else against.reason
        return _open(name, given, f"the baseline's value is undefined: {why}")
    number, base = value.value, against.value
    if identical and name in RELATIVE:
        value, against = Estimate.exactly(number), Estimate.exactly(base)
    if standard_errors == 0:
        value, against = replace(value, stderr=None), replace(against, stderr=None)
    bound = _bound(name, given, base)
    side = 1.0 if name == "max" or "increase" in name else -1.0
    margin = side * (bound - number)
    slope = _slope(name, given, base)
    error = standard_errors * math.hypot(value.stderr or 0.0, slope * (against.stderr or 0.0))
    if math.isnan(error):
        return Judged(
            name, given, bound, None, margin, Verdict.INCONCLUSIVE, "the error is not known"
        )
    least, most = _margins(name, given, value, against, side)
    if least - error >= 0:
        return Judged(name, given, bound, error, margin, Verdict.PASS)
    if most + error < 0:
        return Judged(
            name,
            given,
            bound,
            error,
            margin,
            Verdict.FAIL,
            f"{number:.6g} is {'above' if side > 0 else 'below'} {bound:.6g}",
        )
    return Judged(
        name, given, bound, error, margin, Verdict.INCONCLUSIVE, _doubt(value, against, error)
    )


def _open(name: str, given: float, reason: str) -> Judged:
    return Judged(name, given, None, None, None, Verdict.INCONCLUSIVE, reason)


def _doubt(value: Estimate, against: Estimate, error: float) -> str:
    if any(e.value is not None and (e.low, e.high) != (e.value, e.value) for e in (value, against)):
        return "the limit lies inside what is certain of the values"
    return f"the limit lies within {error:.3g} of the value, which is inside the error"


def _bound(name: str, given: float, base: float) -> float:
    """The limit in the measure's units."""
    match name:
        case "min" | "max":
            return given
        case "max_increase_rel":
            return _scaled(base, given)
        case "max_decrease_rel":
            return _scaled(base, -given)
        case "max_increase_abs":
            return base + given
        case _:
            return base - given


def _scaled(base: float, share: float) -> float:
    """base + share·|base|, for infinite ones too."""
    factor = 1 + share if base >= 0 else 1 - share
    return 0.0 if factor == 0 else base * factor


def _slope(name: str, given: float, base: float) -> float:
    """|d bound / d base|."""
    if name in ("min", "max"):
        return 0.0
    if name.endswith("_abs"):
        return 1.0
    share = given if "increase" in name else -given
    return abs(1 + share if base >= 0 else 1 - share)


def _margins(
    name: str, given: float, value: Estimate, against: Estimate, side: float
) -> tuple[float, float]:
    """The smallest and the largest margin that the bounds allow."""
    bases = [against.low, against.high, *([0.0] if against.low < 0 < against.high else [])]
    bounds = [_bound(name, given, base) for base in bases]
    least, most = (
        (min(bounds) - value.high, max(bounds) - value.low)
        if side > 0
        else (value.low - max(bounds), value.high - min(bounds))
    )
    # infinity minus infinity: nothing is known
    return (-math.inf if math.isnan(least) else least, math.inf if math.isnan(most) else most)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
