"""Numbers of a check in words."""

from __future__ import annotations

from lossatlas.values import Estimate, RuleResult


def with_error(estimate: Estimate | None) -> str:
    """`0.251 ± 0.014`, `≥ 2.1`, `undefined`; empty for none."""
    if estimate is None:
        return ""
    if estimate.value is None:
        return "undefined"
    text = f"{estimate.value:.4g}"
    if estimate.stderr:
        return f"{text} ± {estimate.stderr:.2g}"
    low, high = estimate.low, estimate.high
    if low is None and high is None:
        return text
    if high is None:
        return f"≥ {low:.4g}"
    return f"≤ {high:.4g}" if low is None else f"{low:.4g} … {high:.4g}"


def bounds(rule: RuleResult) -> str:
    """`≤ 0.275`, or several."""
    parts = []
    for limit in rule.limits:
        side = "≤" if limit.text.startswith("<=") else "≥"
        parts.append("undefined" if limit.bound is None else f"{side} {limit.bound:.4g}")
    return ", ".join(parts)
