"""Derived measures on grids of any shape, with holes anywhere, and where the answer is exact."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from service.domain.cells import CellStatus
from service.domain.derived.grid import ANY, PLANE
from service.domain.questions.interpolation.measures import MEASURES as LINE
from service.domain.results import GridResult
from tests.domain.grids_of import curve_of, surface_of
from tests.support.measured import measure

Array = NDArray[np.float64]
Field = Callable[[Array, Array], Array]

X = np.linspace(-1, 1, 81)
Y = np.linspace(-1, 1, 61)
MEASURES = sorted({rule.name for rule in (*ANY, *PLANE)})


def tilted(a: Array, b: Array) -> Array:
    """Neither symmetric about an axis nor about the diagonal."""
    return np.asarray(0.2 + 3 * (a - 0.1) ** 2 + 5 * b**2 + np.sin(4 * a + b))


def rosenbrock(a: Array, b: Array) -> Array:
    return np.asarray((1 - a) ** 2 + 100 * (b - a**2) ** 2)


def axis(num: int, end: float = 1.0) -> Array:
    return np.linspace(-end, end, num) if num > 1 else np.zeros(1)


def with_status(grid: GridResult, code: CellStatus, cells: Any) -> GridResult:
    """The grid with these cells turned into ones without a value."""
    first = grid.datasets[0]
    status, loss = first.status.copy(), first.loss.copy()
    status[cells] = code
    loss[cells] = np.nan
    return replace(grid, datasets=(replace(first, status=status, loss=loss),))


def require_sound(derived: dict[str, Any], names: list[str]) -> None:
    """Every measure is there, with a definition, and a finite number or a reason."""
    json.dumps(derived, allow_nan=False)
    for name in names:
        entry = derived[name]
        assert len(entry["definition"]) > 30, name
        assert (entry["value"] is None) == ("reason" in entry), name


@pytest.mark.parametrize("ny", [1, 2, 3, 4, 9])
@pytest.mark.parametrize("nx", [1, 2, 3, 7])
def test_every_shape_has_every_measure_or_its_reason(nx: int, ny: int) -> None:
    derived = measure(surface_of(tilted, axis(nx), axis(ny)))
    require_sound(derived, MEASURES)
    assert derived["cells"] == {"ok": nx * ny}
    large = min(nx, ny) >= 3
    assert (derived["nonconvex_share"]["value"] is not None) == large
    # a disc that holds the centre's cell alone says nothing, least of all that it is flat
    distance = np.hypot(axis(nx)[None, :], axis(ny)[:, None])
    around = min(nx, ny) >= 2 and ((distance > 0) & (distance <= 0.5)).any()
    assert (derived["sharpness"]["value"] is not None) == around


@pytest.mark.parametrize("num", [1, 2, 3, 50])
def test_every_curve_has_every_measure_or_its_reason(num: int) -> None:
    x = np.linspace(0, 1, num) if num > 1 else np.array([0.5])
    derived = measure(curve_of(lambda a: 1 + a**2, x))
    require_sound(derived, sorted({rule.name for rule in (*ANY, *LINE)}))
    assert derived["barrier"]["value"] == 0.0


@pytest.mark.parametrize("code", [c for c in CellStatus if c is not CellStatus.OK])
@pytest.mark.parametrize("where", ["corner", "middle", "row", "all"])
def test_cells_without_a_value_are_counted_and_nothing_breaks(code: CellStatus, where: str) -> None:
    cells = {"corner": (0, 0), "middle": (4, 5), "row": (3,), "all": (slice(None),)}[where]
    derived = measure(with_status(surface_of(tilted, axis(11), axis(9)), code, cells))
    require_sound(derived, MEASURES)
    lost = {"corner": 1, "middle": 1, "row": 11, "all": 99}[where]
    assert derived["cells"][code.word] == lost
    if where == "all":
        assert all(derived[n]["value"] is None for n in MEASURES if n not in _OF_THE_CENTRE)
    if where == "corner":
        # outside the disc and the interior of all stencils but one
        assert derived["sharpness"]["value"] is not None
        assert derived["nonconvex_share"]["interior_cells"] == 9 * 7 - 1


#: Known from the centre itself, or from there being no basin at all, whatever the cells are.
_OF_THE_CENTRE = {"center_loss", "basin_width", "local_minima"}


@pytest.mark.parametrize("field", [tilted, rosenbrock])
def test_turning_the_grid_over_its_diagonal_changes_nothing(field: Field) -> None:
    upright = measure(surface_of(field, axis(31), axis(21, 0.7)))
    turned = measure(surface_of(lambda a, b: field(b, a), axis(21, 0.7), axis(31)))
    for name in MEASURES:
        assert upright[name]["value"] == pytest.approx(turned[name]["value"]), name
    assert upright["minimum"]["at"] == turned["minimum"]["at"][::-1]


def test_saddle() -> None:
    derived = measure(surface_of(lambda a, b: a**2 - b**2, X, Y))
    assert derived["center_loss"]["value"] == 0.0
    assert derived["sharpness"]["value"] == pytest.approx(0.25)
    assert derived["sharpness"]["at"] in ([-0.5, 0.0], [0.5, 0.0])
    # the rise of 1 is met at the very edge, if at all
    assert derived["basin_width"]["at_least"] is True
    assert derived["maximum"]["value"] == 1.0
    assert derived["minimum"]["value"] == -1.0


def test_tilted_saddle_is_found_by_the_mixed_difference_alone() -> None:
    # αβ: both pure second differences vanish, the eigenvalues are ±1
    derived = measure(surface_of(lambda a, b: a * b, X, Y))
    assert derived["nonconvex_share"]["value"] == 1.0


def test_rosenbrock_is_nonconvex_above_its_parabola_and_nowhere_else() -> None:
    # the Hessian's determinant is negative where β > α² + 1/200
    shares, area = [], None
    for num in (41, 81, 161):
        x, y = np.linspace(-2, 2, num), np.linspace(-1, 3, num)
        derived = measure(surface_of(rosenbrock, x, y))
        a, b = np.meshgrid(x[1:-1], y[1:-1])
        area = float((b > a**2 + 1 / 200).mean())
        assert derived["nonconvex_share"]["value"] <= area
        shares.append(area - derived["nonconvex_share"]["value"])
    # the stencil's directions grow denser with the grid
    assert shares[0] > shares[1] > shares[2]
    assert shares[2] < 0.02
    # from (0, 0), where the loss is 1, the steepest point of the disc of radius 1/2
    angle = np.linspace(0, 2 * np.pi, 20_001)
    rise = rosenbrock(np.cos(angle) / 2, np.sin(angle) / 2).max() - 1
    assert derived["sharpness"]["value"] == pytest.approx(rise, rel=0.05)
    assert derived["sharpness"]["value"] <= rise


def test_rosenbrock_s_valley_limits_its_basin() -> None:
    # the region seen from (0, 0) in which the loss stays below 2, by fine rays on the function
    derived = measure(surface_of(rosenbrock, np.linspace(-1, 1, 401), np.linspace(-1, 1, 401)))
    angle = (np.arange(3600) * 2 * np.pi / 3600)[:, None]
    t = np.linspace(0, 1.3, 5201)[None, :]
    beyond = rosenbrock(t * np.cos(angle), t * np.sin(angle)) > 2
    assert beyond.any(axis=1).all()
    radii = t[0, beyond.argmax(axis=1)]
    exact = 2 * np.sqrt(np.mean(radii**2))
    assert derived["basin_width"]["value"] == pytest.approx(exact, rel=0.02)
    assert derived["basin_width"]["at_least"] is False


@pytest.mark.parametrize("turn", [0.0, 0.3, 1.1])
def test_basin_of_a_turned_ellipse(turn: float) -> None:
    # Hessian eigenvalues 8 and 32: half-axes of the rise of 1 are 1/2 and 1/4, whatever the angle
    c, s = np.cos(turn), np.sin(turn)
    bowl = surface_of(lambda a, b: 4 * (c * a + s * b) ** 2 + 16 * (c * b - s * a) ** 2, X, Y)
    derived = measure(bowl)
    assert derived["basin_width"]["value"] == pytest.approx(2 * np.sqrt(1 / 8), rel=5e-3)
    assert derived["nonconvex_share"]["value"] == 0.0


def test_roughness_knows_no_unit() -> None:
    plain = measure(surface_of(tilted, X, Y))["roughness"]["value"]
    scaled = measure(surface_of(lambda a, b: 7 * tilted(a, b) + 100, X, Y))["roughness"]["value"]
    assert scaled == pytest.approx(plain)
    ripple = surface_of(lambda a, b: tilted(a, b) + 0.3 * np.sin(60 * a) * np.sin(60 * b), X, Y)
    assert measure(ripple)["roughness"]["value"] > 5 * plain


def test_float32_rounding_of_large_losses_is_not_taken_for_shape() -> None:
    def field(a: Array, b: Array) -> Array:
        # convex, and on this grid its second differences are so too
        return (10 ** (2 * (a**2 + b**2))).astype(np.float32).astype(np.float64)

    derived = measure(surface_of(field, X, Y))
    assert derived["nonconvex_share"]["value"] == 0.0
    assert derived["local_minima"]["value"] == 1.0


def test_a_hole_ends_the_rays_that_meet_it() -> None:
    whole = surface_of(lambda a, b: 4 * (a**2 + b**2), X, X)
    near = with_status(whole, CellStatus.FAILED, (slice(None), X > 0.2))
    derived = measure(near)["basin_width"]
    # half a disc of radius 1/2, and its right side cut at the last whole square
    assert derived["value"] < measure(whole)["basin_width"]["value"]
    assert derived["value"] > np.sqrt(1 / 2) * 0.99
