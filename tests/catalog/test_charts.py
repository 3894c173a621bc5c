"""Small charts of numbers that anybody may send: every one of them is drawn somewhere."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.catalog import charts, words

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
SPREADS = (
    [1e308, -1e308],
    [1e17, 1e17],
    [1e17, 1e17 + 16],
    [5e-324, 5e-324],
    [5e-324, 1e308],
    [-0.0, 0.0],
    [1.0, 1.0 + 1e-15],
    [9.2e18, 9.2e18],
)


@pytest.mark.parametrize("log", [None, True, False])
@pytest.mark.parametrize("room", [True, False])
@given(values=st.lists(NUMBERS, max_size=5) | st.sampled_from(SPREADS))
def test_every_number_has_a_place(values: list[float], log: bool | None, room: bool) -> None:
    for scale in (
        charts.y_scale(values, log=log, room=room),
        charts.x_scale(values, log=log, room=room, whole=not room),
    ):
        ends = sorted((scale.start, scale.end))
        for value in values:
            assert ends[0] <= scale.at(value) <= ends[1]
        ticks = scale.ticks()
        assert len(ticks) <= 40
        assert all(ends[0] <= at <= ends[1] for at, _ in ticks)
    assert "nan" not in charts.polyline(scale, scale, [(v, v) for v in values])


@given(NUMBERS)
def test_every_number_has_words(value: float) -> None:
    assert 0 < len(words.number(value)) < 20
    assert math.isfinite(value)
