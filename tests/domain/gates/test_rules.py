"""Rules in both forms: what a line of text means, what cannot be a rule, and back again."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from service.domain.gates.rules import LIMITS, RELATIVE, AnyRule, Rule, parsed

RULE: TypeAdapter[Rule] = TypeAdapter(AnyRule)


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("sharpness <= 3", {"measure": "sharpness", "max": 3}),
        ("sharpness<=3.", {"measure": "sharpness", "max": 3}),
        ("  lambda_min >= -1e-3 ", {"measure": "lambda_min", "min": -0.001}),
        ("center_loss ≤ .5", {"measure": "center_loss", "max": 0.5}),
        ("basin_width ≥ +2", {"measure": "basin_width", "min": 2}),
        (
            "sharpness <= baseline + 10%",
            {"measure": "sharpness", "max_increase_rel": 0.1},
        ),
        (
            "sharpness <= baseline + 0.5",
            {"measure": "sharpness", "max_increase_abs": 0.5},
        ),
        (
            "center_accuracy[test set] >= baseline-1%",
            {"measure": "center_accuracy", "dataset": "test set", "max_decrease_rel": 0.01},
        ),
        (
            "center_accuracy >= baseline - 0.01",
            {"measure": "center_accuracy", "max_decrease_abs": 0.01},
        ),
        ("trace <= baseline", {"measure": "trace", "max_increase_rel": 0}),
        ("trace >= baseline", {"measure": "trace", "max_decrease_rel": 0}),
        # it must improve
        ("sharpness <= baseline - 5%", {"measure": "sharpness", "max_increase_rel": -0.05}),
        ("basin_width >= baseline + 5%", {"measure": "basin_width", "max_decrease_rel": -0.05}),
    ],
)
def test_a_line_of_text_is_a_rule(text: str, fields: dict[str, Any]) -> None:
    rule = RULE.validate_python(text)
    assert rule.to_json() == fields
    assert RULE.validate_python(fields) == rule
    assert RULE.validate_python(rule.text()) == rule


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sharpness",
        "sharpness < 3",
        "sharpness = 3",
        "sharpness <= nan",
        "sharpness <= inf",
        "sharpness <= 1e999",
        "sharpness <= three",
        "sharpness <= 3%",
        "sharpness <= base + 10%",
        "sharpness <= baseline * 1.1",
        "sharpness <= baseline + -10%",
        "sharpness <= baseline + 10% + 3",
        "sharpness <= 3; DROP TABLE checks",
        "sharpness[] <= 3",
        "bluntness <= 3",
        "x" * 10_000,
        "sharpness <= " + "1" * 10_000,
    ],
)
def test_what_is_no_rule(text: str) -> None:
    with pytest.raises(ValidationError):
        RULE.validate_python(text)


def test_the_refusal_says_how_to_write_one() -> None:
    with pytest.raises(ValueError, match="sharpness <= baseline"):
        parsed("sharpness < 3")


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"measure": "sharpness"},
        {"measure": "bluntness", "max": 1},
        {"measure": "sharpness", "max": "3"},
        {"measure": "sharpness", "max": True},
        {"measure": "sharpness", "max": float("nan")},
        {"measure": "sharpness", "max": float("inf")},
        {"measure": "sharpness", "max": None},
        {"measure": "sharpness", "min": 2, "max": 1},
        {"measure": "sharpness", "most": 1},
        {"measure": "sharpness", "max": 1, "dataset": ""},
        [],
        3,
        None,
    ],
)
def test_fields_that_are_no_rule(fields: Any) -> None:
    with pytest.raises(ValidationError):
        RULE.validate_python(fields)


def test_only_limits_against_a_baseline_need_one() -> None:
    for name in LIMITS:
        rule = Rule.model_validate({"measure": "trace", name: 1})
        assert rule.needs_baseline == (name in RELATIVE)
    both = Rule(measure="trace", max=3, max_increase_rel=0.1, dataset="test")
    assert both.text() == "trace[test] <= 3 and <= baseline + 10%"
