"""Numbers at the ends of what float64 holds: asked for as a scale's ends, and as values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.figures import FigureOptions, render, views_of
from service.figures.scale import scale_of
from tests.figures.cases import line_of, plane_of

LARGEST = 1.7976931348623157e308
FINITE = st.floats(allow_nan=False, allow_infinity=False)
X, Y = np.linspace(-1, 1, 7), np.linspace(-1, 1, 5)


@given(
    values=st.lists(FINITE, min_size=1, max_size=6),
    ends=st.lists(FINITE | st.sampled_from([LARGEST, -LARGEST, 5e-324]), max_size=2),
    log=st.sampled_from([None, True, False]),
)
def test_every_scale_has_finite_ends(
    values: list[float], ends: list[float], log: bool | None
) -> None:
    low, high = (*sorted(ends), None, None)[:2]
    if low is not None and low == high:
        high = None
    options = FigureOptions(vmin=low, vmax=high, log=log)
    scale = scale_of(np.array(values), options)
    assert scale is not None
    assert np.isfinite([scale.low, scale.high]).all()
    assert scale.low < scale.high
    assert not scale.log or scale.low > 0
    assert np.isfinite(scale.height(np.array(values))).all()
    assert np.isfinite(scale.ticks(6)).all()


@pytest.mark.parametrize(
    ("low", "high", "log"),
    [(-LARGEST, LARGEST, False), (LARGEST, None, None), (5e-324, LARGEST, True)],
)
def test_figures_of_extreme_scales(low: float, high: float | None, log: bool | None) -> None:
    plane = plane_of(lambda a, b: a * a + 3 * b * b + 0.1, X, Y)
    line = line_of({"train": lambda a: a * a + 0.1}, X)
    for grid in (plane, line):
        for view in views_of(grid):
            options = FigureOptions(view=view, width=200, vmin=low, vmax=high, log=log)
            assert render(grid, options)[:4] == b"\x89PNG"


@pytest.mark.parametrize("size", [1e-320, 2.5e307])
def test_figures_of_extreme_values(size: float) -> None:
    plane = plane_of(lambda a, b: (a * a - 3 * b * b + 0.1) * size, X, Y)
    line = line_of({"train": lambda a: (a * a - 0.1) * size}, X)
    for grid in (plane, line):
        for view in views_of(grid):
            for log in (None, True):
                options = FigureOptions(view=view, width=200, log=log)
                assert render(grid, options)[:4] == b"\x89PNG"
