"""Derived measures on analytic surfaces whose answers are known."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.domain.grids_of import curve_of, surface_of
from tests.support.measured import measure

X = np.linspace(-1, 1, 81)
Y = np.linspace(-1, 1, 61)


def test_quadratic_bowl() -> None:
    # L = 0.3 + 4α² + 9β²: the basin of rise 1 is an ellipse with half-axes 1/2 and 1/3
    derived = measure(surface_of(lambda a, b: 0.3 + 4 * a**2 + 9 * b**2, X, Y))
    assert derived["minimum"]["value"] == pytest.approx(0.3)
    assert derived["minimum"]["at"] == [0.0, 0.0]
    assert derived["center_loss"]["value"] == pytest.approx(0.3)
    # the steepest cell within r = 1/2 lies on the β axis: 9/4
    assert derived["sharpness"]["value"] == pytest.approx(9 / 4)
    assert derived["sharpness"]["radius"] == 0.5
    assert derived["basin_width"]["value"] == pytest.approx(2 * np.sqrt(1 / 6), rel=2e-3)
    assert derived["basin_width"]["at_least"] is False
    assert derived["nonconvex_share"]["value"] == 0.0
    assert derived["local_minima"]["value"] == 1.0
    # on a parabola every cell strays by (f_xx·hx² + f_yy·hy²) / 4
    stray = (8 * (2 / 80) ** 2 + 18 * (2 / 60) ** 2) / 4
    spread = np.std(4 * X[None, :] ** 2 + 9 * Y[:, None] ** 2)
    assert derived["roughness"]["value"] == pytest.approx(stray / spread)


def test_saddle_is_nonconvex_everywhere() -> None:
    derived = measure(surface_of(lambda a, b: a**2 - b**2, X, Y))
    assert derived["nonconvex_share"]["value"] == 1.0
    assert derived["local_minima"]["value"] == 0.0
    assert derived["minimum"]["at"] in ([0.0, -1.0], [0.0, 1.0])


def test_half_of_a_cubic_is_nonconvex() -> None:
    # ∂²/∂α² of α³ is 6α: negative on the left half; β² keeps the other direction convex
    derived = measure(surface_of(lambda a, b: a**3 + b**2, X, Y))
    share = np.mean(X[1:-1] < 0)
    assert derived["nonconvex_share"]["value"] == pytest.approx(share, abs=1e-12)


def test_rosenbrock_minimum_lies_where_it_should() -> None:
    x, y = np.linspace(-2, 2, 81), np.linspace(-1, 3, 81)
    derived = measure(surface_of(lambda a, b: (1 - a) ** 2 + 100 * (b - a**2) ** 2, x, y))
    assert derived["minimum"]["value"] == pytest.approx(0.0, abs=1e-20)
    assert derived["minimum"]["at"] == pytest.approx([1.0, 1.0])


def test_plane_is_convex_up_to_float32_rounding() -> None:
    def field(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return (1e4 + 3 * a - 2 * b).astype(np.float32).astype(np.float64)

    derived = measure(surface_of(field, X, Y))
    assert derived["nonconvex_share"]["value"] == 0.0


def test_constant_surface_is_flat_in_every_measure() -> None:
    derived = measure(surface_of(lambda a, b: 0 * a + 2.0, X, Y))
    assert derived["sharpness"]["value"] == 0.0
    assert derived["roughness"]["value"] == 0.0
    assert derived["basin_width"]["at_least"] is True
    assert derived["nonconvex_share"]["value"] == 0.0


def test_uneven_steps_do_not_change_the_sign_of_curvature() -> None:
    # eigenvalues −1 and 3 of the true Hessian, seen through steps of ratio 20
    x, y = np.linspace(-1, 1, 11), np.linspace(-1, 1, 201)
    derived = measure(surface_of(lambda a, b: 0.5 * a**2 + 2 * a * b + 0.5 * b**2, x, y))
    assert derived["nonconvex_share"]["value"] == 1.0


def test_a_cell_that_is_not_ok_is_said_and_never_repaired() -> None:
    def field(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        out = a**2 + b**2
        return np.where((np.abs(a - 0.2) < 0.02) & (np.abs(b) < 0.02), np.nan, out)

    derived = measure(surface_of(field, X, Y))
    assert derived["sharpness"]["value"] is None
    assert "nan" in derived["sharpness"]["reason"]
    assert derived["cells"]["nan"] >= 1
    assert derived["basin_width"]["value"] > 0
    json.dumps(derived, allow_nan=False)


def test_everything_nan_yields_reasons_and_no_numbers() -> None:
    derived = measure(surface_of(lambda a, b: a * np.nan, X, Y))
    for name in ("minimum", "center_loss", "sharpness", "basin_width", "roughness"):
        assert derived[name]["value"] is None, name
        assert derived[name]["reason"], name


def test_off_centre_grid_has_no_basin_but_still_a_centre() -> None:
    derived = measure(surface_of(lambda a, b: a**2 + b**2 + 1, X + 5, Y))
    assert derived["basin_width"]["value"] is None
    assert derived["sharpness"]["value"] is None
    assert derived["center_loss"]["value"] == 1.0


@pytest.mark.parametrize("num", [51, 52, 7])
def test_barrier_uses_both_ends_even_when_the_grid_misses_them(num: int) -> None:
    # f = 1 + α + 4α(1−α): above the chord by 4α(1−α), at most 1 at α = ½
    derived = measure(curve_of(lambda a: 1 + a + 4 * a * (1 - a), np.linspace(-0.5, 1.5, num)))
    nearest = np.linspace(-0.5, 1.5, num)
    expected = np.max((4 * nearest * (1 - nearest))[(nearest >= 0) & (nearest <= 1)])
    assert derived["barrier"]["value"] == pytest.approx(expected)
    assert derived["origin_loss"]["value"] == 1.0
    assert derived["target_loss"]["value"] == 2.0
    assert derived["barrier_over_worse_end"]["value"] >= 0


def test_barrier_of_a_convex_curve_is_zero_at_an_end() -> None:
    derived = measure(curve_of(lambda a: (a - 0.5) ** 2, np.linspace(-0.5, 1.5, 51)))
    assert derived["barrier"]["value"] == 0.0
    assert derived["barrier"]["alpha"] in (0.0, 1.0)


def test_barrier_refuses_a_hole_inside_the_segment_only() -> None:
    def holed(at: float) -> dict[str, object]:
        x = np.linspace(-0.5, 1.5, 21)
        return measure(curve_of(lambda a: np.where(np.isclose(a, at), np.inf, a**2), x))

    assert holed(0.4)["barrier"]["value"] is None  # type: ignore[index]
    assert holed(-0.4)["barrier"]["value"] is not None  # type: ignore[index]


@pytest.mark.parametrize("shape", [(1, 1), (2, 2), (1, 5), (3, 2)])
def test_small_grids_do_not_crash(shape: tuple[int, int]) -> None:
    y, x = (np.linspace(-1, 1, n) if n > 1 else np.zeros(1) for n in shape)
    json.dumps(measure(surface_of(lambda a, b: a**2 + b**2, x, y)), allow_nan=False)
