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
    if low is not None and high is None:
        return f"≥ {low:.4g}"
    if high is not None and low is None:
        return f"≤ {high:.4g}"
    # bounds as near as the digits that are shown say nothing
    if low is None or high is None or f"{low:.4g}" == f"{high:.4g}":
        return text
    return f"{low:.4g} … {high:.4g}"


def bounds(rule: RuleResult) -> str:
    """`≤ 0.275`, or several."""
    parts = []
    for limit in rule.limits:
        side = "≤" if limit.text.startswith("<=") else "≥"
        parts.append("undefined" if limit.bound is None else f"{side} {limit.bound:.4g}")
    return ", ".join(parts)
