"""Scales and the numbers on them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.figures import FigureOptions
from service.figures.numbers import labels, number
from service.figures.scale import scale_of

FINITE = st.floats(-1e12, 1e12)
POSITIVE = st.floats(1e-12, 1e12)


def scale(values: list[float], **options: object):  # type: ignore[no-untyped-def]
    return scale_of(np.array(values), FigureOptions(**options))  # type: ignore[arg-type]


@given(st.lists(FINITE, min_size=1, max_size=8), st.integers(2, 30))
def test_ticks_ascend_within_the_ends_and_are_no_more_than_asked(
    values: list[float], count: int
) -> None:
    found = scale(values, log=False)
    ticks = found.ticks(count)
    slack = 1e-6 * (found.high - found.low)
    assert 0 < len(ticks) <= count or found.high - found.low < 1e-9 * abs(found.high)
    assert (np.diff(ticks) > 0).all()
    assert ((ticks >= found.low - slack) & (ticks <= found.high + slack)).all()


@given(st.lists(POSITIVE, min_size=2, max_size=8), st.integers(2, 30))
def test_logarithmic_ticks_likewise(values: list[float], count: int) -> None:
    found = scale(values, log=True)
    ticks = found.ticks(count)
    assert len(ticks) <= count
    assert (np.diff(ticks) > 0).all()
    if found.high / found.low > 100:
        assert len(ticks) >= 2


def test_logarithm_by_itself_beyond_two_decades_of_positive_losses() -> None:
    assert scale([0.01, 2.0]).log
    assert not scale([0.1, 2.0]).log
    assert not scale([-1.0, 1e6]).log
    assert not scale([0.0, 1e6]).log
    assert not scale([1e-4, 1.0], metric="accuracy").log
    assert not scale([0.01, 2.0], log=False).log


def test_ends_given_and_values_beyond() -> None:
    found = scale([1.0, 5.0, 10.0], vmin=2.0, vmax=8.0)
    assert (found.low, found.high, found.extend) == (2.0, 8.0, "both")
    assert scale([1.0, 5.0], vmin=0.0).extend == "neither"
    assert scale([1.0, 5.0], vmax=3.0).extend == "max"
    assert found.height(np.array([0.0, 3.0, 99.0])).tolist() == [2.0, 3.0, 8.0]


def test_no_logarithm_of_what_has_none() -> None:
    found = scale([-3.0, -1.0], log=True)
    assert not found.log
    assert "linear" in found.notes[0]
    found = scale([0.0, 1.0, 10.0], log=True)
    assert found.log
    assert (found.low, found.extend) == (1.0, "min")
    assert "1 value of zero or less lies" in found.notes[0]


@pytest.mark.parametrize("value", [0.0, 2.5, -4.0, 1e-9, 1e12])
def test_a_constant_has_room_around_it_and_one_tick(value: float) -> None:
    found = scale([value, value])
    assert found.constant
    assert found.low < value < found.high
    assert found.ticks(5).tolist() == pytest.approx([value])


def test_nothing_has_no_scale() -> None:
    assert scale([np.nan, np.inf, -np.inf]) is None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (-0.0, "0"),
        (0.03125, "0.0312"),
        (-1.0, "−1"),
        (2.5e-7, "2.5×10⁻⁷"),
        (-1e6, "−10⁶"),
        (99999.0, "10⁵"),
        (np.inf, "∞"),
        (np.nan, "NaN"),
    ],
)
def test_numbers_are_short_with_true_signs(value: float, text: str) -> None:
    assert number(value) == text


def test_labels_are_distinct_and_of_one_notation() -> None:
    assert labels([10.0, 100.0, 1e4, 1e5]) == ["10", "100", "10⁴", "10⁵"]
    assert labels([1.0001, 1.0002]) == ["1.0001", "1.0002"]
    assert labels([0.0, 0.5, 1.0], percent=True) == ["0%", "50%", "100%"]
