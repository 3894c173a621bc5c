"""Checks as steps: a landscape held against rules, by the service."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from lossatlas.steps import Call, Steps, call
from lossatlas.values import Check

#: A line such as `sharpness <= baseline + 10%`, or the fields of a rule.
RuleLike = str | Mapping[str, Any]


def checking(
    landscape: str,
    rules: Sequence[RuleLike] | RuleLike,
    baseline: str | None,
    standard_errors: float | None,
) -> Steps[Check]:
    """Holds a landscape against rules. A broken connection cannot do it twice."""
    if isinstance(rules, str | Mapping):
        rules = [rules]
    body: dict[str, Any] = {
        "landscape": landscape,
        "rules": [rule if isinstance(rule, str) else dict(rule) for rule in rules],
    }
    if baseline is not None:
        body["baseline"] = baseline
    if standard_errors is not None:
        body["standard_errors"] = standard_errors
    headers = {"Idempotency-Key": uuid.uuid4().hex}
    answer = yield from call(Call("POST", "/v1/checks", json_body=body, headers=headers))
    return Check.model_validate(answer.json())
