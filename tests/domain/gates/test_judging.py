"""Verdicts on a table of cases: limits kept, broken and inside the error; what has no number."""

from __future__ import annotations

import math
from typing import Any

import pytest

from service.domain.gates.estimates import Estimate, estimate, tolerance_of
from service.domain.gates.judging import Verdict, judge, worst
from service.domain.gates.rules import Rule

PASS, FAIL, OPEN = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE


def exactly(value: float, stderr: float | None = None) -> Estimate:
    return Estimate(value, "of a test", stderr, value, value)


def verdict(
    limit: str,
    given: float,
    value: Estimate,
    baseline: Estimate | None = None,
    **options: Any,
) -> Verdict:
    rule = Rule.model_validate({"measure": "sharpness", limit: given})
    judged = judge(rule, value, baseline, **options)
    assert judged.to_json()["verdict"] == judged.verdict.value
    assert (judged.reason is None) == (judged.verdict is PASS)
    return judged.verdict


@pytest.mark.parametrize(
    ("limit", "given", "value", "baseline", "expected"),
    [
        # absolute, without errors: the ends are included
        ("max", 3.0, 3.0, None, PASS),
        ("max", 3.0, math.nextafter(3.0, 4.0), None, FAIL),
        ("min", 3.0, 3.0, None, PASS),
        ("min", 3.0, math.nextafter(3.0, 2.0), None, FAIL),
        ("max", -1.0, -2.0, None, PASS),
        # against a baseline
        ("max_increase_rel", 0.25, 5.0, 4.0, PASS),
        ("max_increase_rel", 0.25, 5.1, 4.0, FAIL),
        ("max_increase_rel", 0.0, 4.0, 4.0, PASS),
        ("max_increase_abs", 0.5, 4.5, 4.0, PASS),
        ("max_increase_abs", 0.5, 4.6, 4.0, FAIL),
        ("max_decrease_rel", 0.25, 3.0, 4.0, PASS),
        ("max_decrease_rel", 0.25, 2.9, 4.0, FAIL),
        ("max_decrease_abs", 0.5, 3.5, 4.0, PASS),
        ("max_decrease_abs", 0.5, 3.4, 4.0, FAIL),
        # it must improve
        ("max_increase_rel", -0.5, 2.0, 4.0, PASS),
        ("max_increase_rel", -0.5, 2.1, 4.0, FAIL),
        # a share of a negative value is one of its size: −4 may rise to −3 and fall to −5
        ("max_increase_rel", 0.25, -3.0, -4.0, PASS),
        ("max_increase_rel", 0.25, -2.9, -4.0, FAIL),
        ("max_decrease_rel", 0.25, -5.0, -4.0, PASS),
        ("max_decrease_rel", 0.25, -5.1, -4.0, FAIL),
        # no share of nothing is anything
        ("max_increase_rel", 10.0, 0.0, 0.0, PASS),
        ("max_increase_rel", 10.0, 1e-9, 0.0, FAIL),
    ],
)
def test_values_without_errors(
    limit: str, given: float, value: float, baseline: float | None, expected: Verdict
) -> None:
    base = None if baseline is None else exactly(baseline)
    assert verdict(limit, given, exactly(value), base) is expected


@pytest.mark.parametrize(
    ("limit", "given", "value", "baseline", "expected"),
    [
        # two standard errors on either side
        ("max", 3.0, (2.8, 0.1), None, PASS),
        ("max", 3.0, (2.81, 0.1), None, OPEN),
        ("max", 3.0, (3.19, 0.1), None, OPEN),
        ("max", 3.0, (3.21, 0.1), None, FAIL),
        ("min", 3.0, (3.2, 0.1), None, PASS),
        ("min", 3.0, (3.19, 0.1), None, OPEN),
        ("min", 3.0, (2.79, 0.1), None, FAIL),
        # the baseline's error counts too: √(0.3² + 0.4²) = 0.5, twice
        ("max_increase_abs", 1.0, (4.0, 0.3), (4.0, 0.4), PASS),
        ("max_increase_abs", 1.0, (4.01, 0.3), (4.0, 0.4), OPEN),
        ("max_increase_abs", 1.0, (6.01, 0.3), (4.0, 0.4), FAIL),
        # doubled by a relative limit of 100 %: 2·√(0.6² + (2·0.4)²) = 2
        ("max_increase_rel", 1.0, (5.9, 0.6), (4.0, 0.4), PASS),
        ("max_increase_rel", 1.0, (6.1, 0.6), (4.0, 0.4), OPEN),
        # an error that is not known (a single sample) leaves all in doubt
        ("max", 3.0, (1.0, math.nan), None, OPEN),
        ("max_increase_abs", 3.0, (1.0, 0.1), (1.0, math.nan), OPEN),
    ],
)
def test_values_with_standard_errors(
    limit: str,
    given: float,
    value: tuple[float, float],
    baseline: tuple[float, float] | None,
    expected: Verdict,
) -> None:
    base = None if baseline is None else exactly(*baseline)
    assert verdict(limit, given, exactly(*value), base) is expected


def test_without_standard_errors_the_values_alone_are_judged() -> None:
    for stderr in (0.1, math.nan):
        near = exactly(2.99, stderr)
        assert verdict("max", 3.0, near) is OPEN
        assert verdict("max", 3.0, near, standard_errors=0) is PASS
        assert verdict("max", 2.98, near, standard_errors=0) is FAIL


@pytest.mark.parametrize(
    ("limit", "given", "bounds", "expected"),
    [
        # a basin that leaves the grid is at least so wide
        ("min", 1.9, (2.0, math.inf), PASS),
        ("min", 2.1, (2.0, math.inf), OPEN),
        ("max", 2.1, (2.0, math.inf), OPEN),
        ("max", 1.9, (2.0, math.inf), FAIL),
        # nothing is certain
        ("max", 1e9, (-math.inf, math.inf), OPEN),
    ],
)
def test_bounds_that_are_certain(
    limit: str, given: float, bounds: tuple[float, float], expected: Verdict
) -> None:
    assert verdict(limit, given, Estimate(2.0, "", None, *bounds)) is expected
    # no number of standard errors takes them away
    assert verdict(limit, given, Estimate(2.0, "", None, *bounds), standard_errors=0) is expected


@pytest.mark.parametrize(
    ("limit", "value", "base", "expected"),
    [
        ("max_increase_rel", 5.0, (4.0, math.inf), PASS),
        ("max_increase_rel", 9.0, (4.0, math.inf), OPEN),
        ("max_decrease_rel", 2.9, (4.0, math.inf), FAIL),
        ("max_decrease_rel", 4.0, (4.0, math.inf), OPEN),
        ("max_increase_abs", 5.0, (-math.inf, 4.0), FAIL),
        ("max_increase_abs", 3.0, (-math.inf, 4.0), OPEN),
    ],
)
def test_a_baselines_bounds(
    limit: str, value: float, base: tuple[float, float], expected: Verdict
) -> None:
    against = Estimate(4.0, "", None, *base)
    assert verdict(limit, 0.25, exactly(value), against) is expected


@pytest.mark.parametrize("limit", ["min", "max", "max_increase_rel", "max_decrease_abs"])
def test_what_has_no_number_never_passes(limit: str) -> None:
    nothing = Estimate(None, "", reason="a cell is nan")
    for options in ({}, {"standard_errors": 0}, {"identical": True}):
        assert verdict(limit, 0.0, nothing, nothing, **options) is OPEN
        assert verdict(limit, 0.0, nothing, exactly(1.0), **options) is OPEN
    if limit.startswith("max_"):
        assert verdict(limit, 1e9, exactly(1.0), nothing) is OPEN
        assert verdict(limit, 1e9, exactly(1.0), None) is OPEN


def test_the_same_numbers_have_not_changed() -> None:
    same = exactly(4.0, 0.5)
    assert verdict("max_increase_rel", 0.0, same, same) is OPEN
    assert verdict("max_increase_rel", 0.0, same, same, identical=True) is PASS
    assert verdict("max_increase_rel", -0.1, same, same, identical=True) is FAIL
    # an absolute limit has the value's error all the same
    assert verdict("max", 4.1, same, same, identical=True) is OPEN


def test_a_rule_is_as_good_as_its_worst_limit() -> None:
    rule = Rule(measure="sharpness", min=1, max=3, max_increase_rel=0.1)
    judged = judge(rule, exactly(2.0), exactly(1.0))
    assert [limit.verdict for limit in judged.limits] == [PASS, PASS, FAIL]
    assert judged.verdict is FAIL
    assert judged.reason == "2 is above 1.1"
    assert worst([PASS, OPEN, FAIL]) is FAIL
    assert worst([PASS, OPEN]) is OPEN
    assert worst([PASS, PASS]) is PASS


def test_numbers_are_shown_with_their_errors() -> None:
    rule = Rule(measure="sharpness", max_increase_rel=1.0)
    body = judge(rule, exactly(5.0, 0.6), exactly(4.0, 0.4)).to_json()
    assert (body["value"], body["stderr"]) == (5.0, 0.6)
    assert body["baseline"] == {"value": 4.0, "stderr": 0.4, "low": 4.0, "high": 4.0}
    wide = Estimate(2.0, "", None, 2.0, math.inf).to_json()
    assert wide == {"value": 2.0, "stderr": None, "low": 2.0, "high": None}
    nothing = Estimate(None, "", reason="a cell is nan").to_json()
    assert set(nothing.values()) == {None}
    assert body["definition"] == "of a test"
    (limit,) = body["limits"]
    assert (limit["bound"], limit["margin"]) == (8.0, 3.0)
    assert limit["error"] == pytest.approx(2.0)
    assert limit["text"] == "<= baseline + 100%"


MEASURES: dict[str, Any] = {
    "sharpness": {"value": 2.0, "definition": "s", "stderr": 0.1},
    "undefined": {"value": None, "definition": "u", "reason": "a cell is nan"},
    "single": {"value": 2.0, "definition": "s", "stderr": None},
    "basin_width": {"value": 2.0, "definition": "b", "at_least": True},
    "lambda_max": {"value": 9.0, "definition": "l", "residual": 0.5, "converged": False},
    "lambda_min": {"value": -2.0, "definition": "l", "residual": 0.5, "converged": True},
    "convexity_ratio": {"value": 0.2, "definition": "r"},
    "trace": {"value": 10.0, "definition": "t", "stderr": 1.0, "interval": [7.0, 13.0]},
    "infinite": {"value": math.inf, "definition": "i"},
    "text": {"value": "3", "definition": "i"},
    "cells": {"ok": 9},
}


@pytest.mark.parametrize(
    ("name", "value", "stderr", "low", "high"),
    [
        ("sharpness", 2.0, 0.1, 2.0, 2.0),
        ("basin_width", 2.0, None, 2.0, math.inf),
        ("lambda_max", 9.0, None, 8.5, math.inf),
        ("lambda_min", -2.0, None, -2.5, -1.5),
        ("convexity_ratio", 0.2, None, 0.0, math.inf),
        ("trace", 10.0, 1.5, 10.0, 10.0),
    ],
)
def test_derived_measures_as_estimates(
    name: str, value: float, stderr: float | None, low: float, high: float
) -> None:
    read = estimate(name, MEASURES)
    assert read is not None
    assert (read.value, read.stderr, read.low, read.high) == (value, stderr, low, high)


def test_measures_without_a_number() -> None:
    assert estimate("missing", MEASURES) is None
    undefined = estimate("undefined", MEASURES)
    assert undefined is not None
    assert (undefined.value, undefined.reason) == (None, "a cell is nan")
    for name in ("infinite", "text"):
        read = estimate(name, MEASURES)
        assert read is not None
        assert read.value is None
        assert verdict("max", 1e9, read) is OPEN
    single = estimate("single", MEASURES)
    assert single is not None
    assert math.isnan(single.stderr or 0.0)
    converged = {**MEASURES, "lambda_max": {**MEASURES["lambda_max"], "converged": True}}
    ratio = estimate("convexity_ratio", converged)
    assert ratio is not None
    assert (ratio.low, ratio.high) == (0.2, 0.2)


def test_interpolated_cells_have_an_error_of_their_own() -> None:
    sampling = {"mode": "adaptive", "tolerance": 0.04, "evaluations": 90, "cells": 900}
    tolerance = tolerance_of({"sampling": sampling})
    assert tolerance == 0.04
    assert tolerance_of({"sampling": {**sampling, "evaluations": 900}}) is None
    assert tolerance_of({}) is None
    measures = {
        **MEASURES,
        "center_loss": {"value": 3.0, "definition": "c", "stderr": 0.01},
        "maximum": {"value": 10.0, "definition": "m", "stderr": 0.0},
    }

    def stderr(name: str) -> float:
        read = estimate(name, measures, tolerance)
        assert read is not None
        return read.stderr or 0.0

    assert stderr("maximum") == pytest.approx(0.2)
    assert stderr("sharpness") == pytest.approx(math.hypot(0.1, 0.02 * 5))
    assert stderr("center_loss") == 0.01
    assert math.isnan(stderr("basin_width"))
