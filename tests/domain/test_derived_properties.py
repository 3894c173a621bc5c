"""Properties of derived measures over families of functions with known answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from service.domain.adaptive import ESTIMATED_ERROR, EVALUATED
from service.domain.cells import CellStatus
from service.domain.results import GridResult
from tests.domain.grids_of import curve_of, surface_of
from tests.support.measured import measure

Array = NDArray[np.float64]
Field = Callable[[Array, Array], Array]

slopes = st.floats(-40, 40)
angles = st.floats(0, np.pi)


def float32(field: Field) -> Field:
    """The field as a float32 network would report it."""

    def rounded(a: Array, b: Array) -> Array:
        # what exceeds float32 is infinite, and the cell is no longer ok
        with np.errstate(over="ignore"):
            return np.asarray(field(a, b)).astype(np.float32).astype(np.float64)

    return rounded


def quadratic(turn: float, first: float, second: float, offset: float) -> Field:
    """Principal curvatures `first` and `second`, turned by an angle."""
    c, s = np.cos(turn), np.sin(turn)
    return lambda a, b: np.asarray(
        offset + first * (c * a + s * b) ** 2 + second * (c * b - s * a) ** 2
    )


@st.composite
def convex(draw: st.DrawFn) -> Field:
    """A convex function, of any of the usual kinds."""
    kind = draw(st.sampled_from(["quadratic", "exp", "logsumexp", "max", "norm", "affine"]))
    rows = np.array(draw(st.lists(st.tuples(slopes, slopes, slopes), min_size=1, max_size=4)))

    def planes(a: Array, b: Array) -> Array:
        return np.stack([p * a + q * b + r for p, q, r in rows])

    match kind:
        case "quadratic":
            condition = 10.0 ** draw(st.floats(-6, 6))
            turn, offset = draw(angles), draw(st.floats(-100, 100))
            return quadratic(turn, 1.0, condition, offset)
        case "exp":
            p, q, _ = rows[0]
            return lambda a, b: np.exp(p * a + q * b)
        case "logsumexp":
            return lambda a, b: np.logaddexp.reduce(planes(a, b), axis=0)
        case "max":
            return lambda a, b: planes(a, b).max(axis=0)
        case "norm":
            p, q, r = rows[0]
            return lambda a, b: np.hypot(a + p / 40, q * (b - r / 40))
        case _:
            p, q, r = rows[0]
            return lambda a, b: 100 * r + p * a + q * b


@st.composite
def axes(draw: st.DrawFn) -> tuple[Array, Array]:
    """Two axes of any lengths and steps; the centre may lie outside."""

    def axis() -> Array:
        low, width = draw(st.floats(-2, 1)), draw(st.floats(0.02, 4))
        return np.linspace(low, low + width, draw(st.integers(3, 24)))

    return axis(), axis()


@settings(max_examples=150, deadline=None)
@given(field=convex(), grid=axes())
def test_no_cell_of_a_convex_function_is_non_convex(
    field: Field, grid: tuple[Array, Array]
) -> None:
    rounded = float32(field)
    assert measure(surface_of(field, *grid))["nonconvex_share"]["value"] == 0.0
    # None: where float32 overflows, no cell may be left that has all its neighbours
    assert measure(surface_of(rounded, *grid))["nonconvex_share"]["value"] in (0.0, None)
    curve = measure(curve_of(lambda t: rounded(t, 0.3 * t), grid[0]))
    assert curve["nonconvex_share"]["value"] in (0.0, None)


@pytest.mark.parametrize("steps", [(3, 3), (5, 9), (21, 21), (51, 51), (51, 11)])
def test_a_steep_exponential_is_convex_at_any_spacing(steps: tuple[int, int]) -> None:
    # mixed differences over 2h exceed pure ones over h here, at every cell
    x, y = (np.linspace(-1, 1, n) for n in steps)
    derived = measure(surface_of(lambda a, b: np.exp(40 * a + 30 * b), x, y))
    assert derived["nonconvex_share"]["value"] == 0.0


@settings(max_examples=60, deadline=None)
@given(field=convex(), grid=axes(), share=st.floats(0.1, 0.9), seed=st.integers(0, 99))
def test_what_interpolated_cells_state_of_their_error_is_not_taken_for_shape(
    field: Field, grid: tuple[Array, Array], share: float, seed: int
) -> None:
    exact = surface_of(field, *grid)
    first = exact.datasets[0]
    draws = np.random.default_rng(seed)
    interpolated = draws.random(first.loss.shape) < share
    wrong = np.where(interpolated, draws.uniform(-0.03, 0.03, first.loss.shape), 0.0)
    adaptive = replace(
        first,
        loss=first.loss * (1 + wrong),
        # what is off by 3 % of the exact loss is off by a little more of its own
        extra={
            EVALUATED: np.where(interpolated, 0.0, 1.0),
            ESTIMATED_ERROR: np.where(interpolated, 0.031, 0.0),
        },
    )
    derived = measure(replace(exact, datasets=(adaptive,)))
    assert derived["nonconvex_share"]["value"] == 0.0


@settings(max_examples=60, deadline=None)
@given(grid=axes(), level=st.floats(-1e6, 1e6))
def test_a_constant_has_no_shape(grid: tuple[Array, Array], level: float) -> None:
    derived = measure(surface_of(lambda a, b: 0 * a * b + level, *grid))
    assert derived["nonconvex_share"]["value"] == 0.0
    assert derived["local_minima"]["value"] == 0.0
    assert derived["roughness"]["value"] == 0.0
    assert derived["sharpness"]["value"] in (0.0, None)


@pytest.mark.parametrize("aspect", [0.02, 0.3, 1.0, 4.0])
@pytest.mark.parametrize(
    "field", [lambda a, b: a * b, lambda a, b: a * a - b * b, lambda a, b: -((a + b) ** 2)]
)
def test_saddles_and_ridges_are_non_convex_everywhere(field: Field, aspect: float) -> None:
    for nx, ny in ((9, 9), (9, 31), (50, 12)):
        grid = surface_of(field, np.linspace(-1, 1, nx), np.linspace(-1, 1, ny) * aspect)
        assert measure(grid)["nonconvex_share"]["value"] == 1.0


@settings(max_examples=40, deadline=None)
@given(turn=angles, negative=st.floats(0.1, 1.0))
def test_a_turned_saddle_is_found_in_whatever_direction(turn: float, negative: float) -> None:
    # half the angle in which it bends down, arctan √0.1 = 17.5°, exceeds the stencil's gaps
    field = quadratic(turn, 1.0, -negative, 3.0)
    wide = measure(surface_of(field, np.linspace(-1, 1, 51), np.linspace(-1, 1, 51)))
    uneven = measure(surface_of(field, np.linspace(-1, 1, 26), np.linspace(-1, 1, 101)))
    # along the border, where long directions do not fit, some cells have only the nearest ones
    assert wide["nonconvex_share"]["value"] >= (45 / 49) ** 2
    assert uneven["nonconvex_share"]["value"] >= (22 / 24) * (85 / 93)


def test_the_share_converges_to_that_of_the_area() -> None:
    # sin 3α + β²/8 bends down where sin 3α > 0, whose share of [0, π] is 2/3
    shares = []
    for num in (13, 49, 193):
        x, y = np.linspace(0, np.pi, num), np.linspace(-1, 1, num)
        found = measure(surface_of(lambda a, b: np.sin(3 * a) + b**2 / 8, x, y))
        shares.append(abs(found["nonconvex_share"]["value"] - 2 / 3))
    assert shares[0] > shares[2]
    assert shares[2] < 0.01


@settings(max_examples=40, deadline=None)
@given(
    p=slopes,
    q=slopes,
    wave=st.floats(1, 12),
    power=st.integers(-20, 20),
    shape=st.tuples(st.integers(3, 19), st.integers(3, 19)),
)
def test_measures_of_shape_know_neither_units_nor_the_axes_order_and_sense(
    p: float, q: float, wave: float, power: int, shape: tuple[int, int]
) -> None:
    x, y = np.linspace(-1, 1, shape[0]), np.linspace(-0.5, 1, shape[1])

    def field(a: Array, b: Array) -> Array:
        return np.asarray(50 + p * a * a + q * a * b + np.sin(wave * a - b))

    def shapes(grid: GridResult) -> Any:
        derived = measure(grid)
        names = ("nonconvex_share", "roughness", "local_minima")
        return pytest.approx([derived[name]["value"] for name in names], rel=1e-6)

    plain = measure(surface_of(field, x, y))
    known = [plain[n]["value"] for n in ("nonconvex_share", "roughness", "local_minima")]
    assert known == shapes(surface_of(lambda a, b: field(a, b) * 2.0**power, x, y))
    assert known == shapes(surface_of(lambda a, b: field(b, a), y, x))
    assert known == shapes(surface_of(lambda a, b: field(-a, b), -x[::-1], y))
    # both axes in another unit: the slice along longer directions
    assert known == shapes(surface_of(lambda a, b: field(a / 4, b / 4), x * 4, y * 4))


@pytest.mark.parametrize("num", [20, 21, 50, 51])
def test_a_bowl_has_one_minimum_whether_or_not_the_grid_meets_it(num: int) -> None:
    x = np.linspace(-1, 1, num)
    assert measure(surface_of(lambda a, b: a**2 + b**2, x, x))["local_minima"]["value"] == 1.0
    assert measure(curve_of(lambda a: (a - 0.1) ** 2, x))["local_minima"]["value"] == 1.0
    # a floor of loss zero, as of a network that fits its data
    floor = surface_of(lambda a, b: np.maximum(0, np.hypot(a, b) - 0.5), x, x)
    assert measure(floor)["local_minima"]["value"] == 1.0


def test_plateaus_are_minima_only_where_all_around_them_is_higher() -> None:
    x = np.linspace(-1, 1, 21)

    def minima(field: Field) -> float:
        return float(measure(surface_of(field, x, x))["local_minima"]["value"])

    # a trough that reaches the border, a terrace above a slope, a minimum on the border
    assert minima(lambda a, b: np.round(4 * np.abs(a))) == 0.0
    assert minima(lambda a, b: np.round(3 * a)) == 0.0
    assert minima(lambda a, b: a + b) == 0.0
    # two basins, each of four equal cells, and a ring around an island
    assert minima(lambda a, b: -np.round(2 * np.sin(3 * a) ** 2 * np.cos(1.5 * b) ** 2)) == 2.0
    assert minima(lambda a, b: np.round(9 * np.abs(np.hypot(a, b) - 0.6))) == 1.0


@pytest.mark.parametrize("num", [7, 20, 51])
def test_rounding_of_a_constant_is_not_roughness(num: int) -> None:
    x = np.linspace(-1, 1, num)
    ulp = 2.0**-24
    noisy = surface_of(lambda a, b: 1e4 * (1 + ulp * np.sign(np.sin(1e3 * a + 7e2 * b))), x, x)
    derived = measure(noisy)
    assert derived["roughness"]["value"] == 0.0
    assert derived["nonconvex_share"]["value"] == 0.0


@pytest.mark.parametrize("level", [1e-300, 1.0, 1e38, 1e300])
def test_measures_of_shape_do_not_overflow(level: float) -> None:
    x = np.linspace(-1, 1, 9)
    derived = measure(surface_of(lambda a, b: level * (1 + a * a - b * b), x, x))
    plain = measure(surface_of(lambda a, b: 1 + a * a - b * b, x, x))
    for name in ("nonconvex_share", "roughness", "local_minima"):
        assert derived[name]["value"] == pytest.approx(plain[name]["value"]), name


@pytest.mark.parametrize("code", [c for c in CellStatus if c is not CellStatus.OK])
def test_a_basin_that_ends_at_an_unknown_loss_is_at_least_so_wide(code: CellStatus) -> None:
    x = np.linspace(-1, 1, 41)
    grid = surface_of(lambda a, b: 4 * (a**2 + b**2), x, x)
    status = grid.datasets[0].status.copy()
    status[:, x > 0.2] = code
    holed = replace(grid, datasets=(replace(grid.datasets[0], status=status),))
    width = measure(holed)["basin_width"]
    # an infinite loss has crossed every level; what is not known may have crossed none
    assert width["at_least"] is (code is not CellStatus.POSINF)
    assert 0 < width["value"] < measure(grid)["basin_width"]["value"]


def test_a_basin_that_the_grid_does_not_resolve_has_no_width() -> None:
    # four cells around the centre, all of them far above it
    x = np.linspace(-1, 1, 4)
    derived = measure(surface_of(lambda a, b: 100 * (a**2 + b**2), x, x))
    assert derived["basin_width"]["value"] is None
    assert "resolve" in derived["basin_width"]["reason"]


@pytest.mark.parametrize("shape", [(40, 40), (41, 40), (80, 161)])
def test_basin_width_converges_from_grids_that_miss_the_centre_too(shape: tuple[int, int]) -> None:
    x, y = (np.linspace(-1, 1, n) for n in shape)
    derived = measure(surface_of(lambda a, b: 9 * (a**2 + b**2), x, y))
    assert derived["basin_width"]["value"] == pytest.approx(2 / 3, rel=0.02)


def test_every_definition_names_the_cells_that_it_counts() -> None:
    derived = measure(surface_of(lambda a, b: a * b, np.linspace(-1, 1, 5), np.linspace(-1, 1, 5)))
    for name in ("minimum", "maximum", "nonconvex_share", "roughness", "local_minima"):
        assert "ok" in derived[name]["definition"], name
