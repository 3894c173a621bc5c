"""Ranges on derived measures, as they stand in a query."""

from __future__ import annotations

import pytest

from service.domain.problems import Problem
from service.landscapes.ranges import parse_ranges


def test_bounds_of_one_measure_are_one_range() -> None:
    asked = [
        ("project", "p"),
        ("derived.sharpness.max", "0.5"),
        ("derived.sharpness.min", "-1e-3"),
        ("derived.barrier.min", "0"),
    ]
    assert parse_ranges(asked) == {
        "sharpness.value": (-1e-3, 0.5),
        "barrier.value": (0.0, None),
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("derived.sharpness", "1"),
        ("derived.sharpness.mean", "1"),
        ("derived.nonsense.max", "1"),
        ("derived.sharpness.max", "high"),
        ("derived.sharpness.max", "nan"),
        ("derived.sharpness.max", "inf"),
        ("derived..max", "1"),
    ],
)
def test_other_parameters_are_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(Problem) as caught:
        parse_ranges([(name, value)])
    assert caught.value.code == "invalid_request"
    assert caught.value.errors[0].pointer == f"/{name}"
