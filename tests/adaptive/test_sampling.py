"""Adaptive sampling's parts on surfaces whose answer is known: splines, rounds, holes, zeros."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.interpolate import RBFInterpolator

from service.domain.adaptive import Sampling
from service.domain.cells import CellStatus
from tests.adaptive.surfaces import Floats, sample
from workers.adaptive import radial
from workers.adaptive.design import first_round
from workers.adaptive.radial import KERNELS, Kernel, interpolate


def mesh(num: int = 41, ny: int | None = None) -> tuple[Floats, Floats]:
    x, y = np.linspace(-1, 1, num), np.linspace(-1, 1, ny or num)
    a, b = np.meshgrid(x, y)
    return a, b


def bowl(num: int = 41, ny: int | None = None) -> Floats:
    a, b = mesh(num, ny)
    return np.asarray(np.exp(4 * (a**2 + 0.7 * b**2) + np.sin(2 * a + b)))


def scattered(count: int) -> tuple[Floats, Floats]:
    random = np.random.default_rng(3)
    points = random.uniform(0, 40, (count, 2))
    return points, np.sin(points[:, 0] / 7) + (points[:, 1] / 20) ** 2


@pytest.mark.parametrize("kernel", KERNELS)
def test_splines_are_scipys(kernel: Kernel) -> None:
    points, values = scattered(80)
    at = np.random.default_rng(4).uniform(0, 40, (50, 2))
    # the same definition by another implementation; 1e-8 is the systems' conditioning
    both = np.stack([values, values**2], axis=1)
    expected = RBFInterpolator(points, both, kernel=kernel)(at)
    np.testing.assert_allclose(interpolate(points, both, at, kernel).values, expected, atol=1e-8)


@pytest.mark.parametrize("kernel", KERNELS)
def test_left_out_residuals_are_those_of_leaving_out(kernel: Kernel) -> None:
    points, values = scattered(40)
    found = interpolate(points, values[:, None], points, kernel).left_out[:, 0]
    for k in range(40):
        rest = np.arange(40) != k
        without = RBFInterpolator(points[rest], values[rest], kernel=kernel)(points[k : k + 1])
        assert found[k] == pytest.approx(values[k] - without[0], abs=1e-8)


def test_many_points_are_interpolated_piece_by_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    points, column = scattered(600)
    values = column[:, None]
    at = np.stack(np.meshgrid(np.arange(40.0), np.arange(40.0)), -1).reshape(-1, 2)
    whole = interpolate(points, values, at, "cubic")
    monkeypatch.setattr(radial, "_MOST_POINTS", 150)
    pieces = interpolate(points, values, at, "cubic")
    # inside the hull, where splines forget what is far
    inside = ((at > 3) & (at < 37)).all(axis=1)
    assert np.abs(pieces.values - whole.values)[inside].max() < 5e-3
    assert np.abs(pieces.left_out - whole.left_out).mean() < 1e-3


def test_the_first_cells_cover_the_plane_and_hold_some_back() -> None:
    first = first_round((51, 51), audit=0.05, seed=1, always=np.array([1300]))
    assert {0, 50, 51 * 50, 51 * 51 - 1, 1300} <= set(first.cells.tolist())
    assert set(first.audit.tolist()) < set(first.cells.tolist())
    assert 120 <= len(first.audit) <= 140
    quarters = {(k // 51 // 26, k % 51 // 26) for k in first.audit.tolist()}
    assert len(quarters) == 4
    again = first_round((51, 51), audit=0.05, seed=1, always=np.array([1300]))
    other = first_round((51, 51), audit=0.05, seed=2, always=np.array([1300]))
    np.testing.assert_array_equal(first.audit, again.audit)
    assert not np.array_equal(first.audit, other.audit)


def test_a_small_grid_is_evaluated_whole() -> None:
    run = sample(bowl(9), tolerance=0.03, seed=0)
    assert (run.evaluations, run.rounds) == (81, 1)
    assert (run.stated == 0).all()
    sampling = Sampling.of(run.filled.result)
    assert sampling is not None
    said = sampling.sentence(run.filled.result, run.filled.result.datasets[0])
    assert said == "adaptive sampling: all 81 cells had to be evaluated"


def test_a_smooth_surface_that_is_not_square() -> None:
    run = sample(bowl(61, 31), tolerance=0.03, seed=0)
    assert run.evaluated.shape == (31, 61)
    assert run.saved >= 6
    assert run.within(0.03) >= 0.95


def test_evaluated_cells_keep_every_bit_and_say_nothing_of_errors() -> None:
    loss = bowl()
    run = sample(loss, tolerance=0.03, seed=5)
    grid = run.filled.result.datasets[0]
    np.testing.assert_array_equal(grid.loss[run.evaluated], loss[run.evaluated])
    np.testing.assert_array_equal(grid.extra["evaluated"] == 1, run.evaluated)
    assert (run.stated[run.evaluated] == 0).all()
    assert (run.stated[~run.evaluated] > 0).all()
    assert np.isnan(grid.stderr[~run.evaluated]).all()
    assert (grid.status == CellStatus.OK).all()


def test_nothing_is_interpolated_across_a_hole() -> None:
    loss = bowl()
    a, b = mesh()
    hole = (a - 0.35) ** 2 + (b - 0.2) ** 2 < 0.3**2
    loss[hole] = np.nan
    run = sample(loss, tolerance=0.03, seed=0)
    # every cell of the hole, and a rim around it, was evaluated
    assert run.evaluated[hole].all()
    rim = np.zeros_like(hole)
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            rim |= np.roll(hole, (dy, dx), (0, 1))
    assert run.evaluated[rim].all()
    status = run.filled.result.datasets[0].status
    np.testing.assert_array_equal(status == CellStatus.NAN, hole)
    assert not run.evaluated.all()
    assert (run.error[~hole] <= 0.03).mean() >= 0.95


def test_a_hole_of_one_data_set_is_evaluated_for_all() -> None:
    holed, whole = bowl(), bowl() + 1
    holed[10:20, 10:20] = np.inf
    run = sample(np.stack([whole, holed]), tolerance=0.03, seed=0)
    assert run.evaluated[10:20, 10:20].all()
    for grid, truth in zip(run.filled.result.datasets, (whole, holed), strict=True):
        known = np.isfinite(truth)
        off = np.abs(grid.loss[known] / truth[known] - 1)
        assert (off <= 0.03).mean() >= 0.95


def test_losses_of_zero_and_below_have_no_logarithm_and_are_evaluated() -> None:
    a, b = mesh()
    zero = np.maximum(a**2 + b**2 - 0.2, 0.0)
    run = sample(zero, tolerance=0.03, seed=0)
    assert run.evaluated[zero == 0].all()
    assert not run.evaluated.all()
    assert run.within(0.03) >= 0.95
    # a surface without any positive value saves nothing, and says so
    negative = sample(-bowl(), tolerance=0.03, seed=0)
    assert negative.evaluated.all()
    assert negative.saved == 1


def test_every_data_set_is_within_its_tolerance() -> None:
    a, _ = mesh()
    smooth, wild = bowl(), bowl() * np.exp(0.5 * np.sin(12 * a))
    run = sample(np.stack([smooth, wild]), tolerance=0.03, seed=1)
    alone = sample(smooth, tolerance=0.03, seed=1)
    assert run.evaluations > alone.evaluations
    for grid, truth in zip(run.filled.result.datasets, (smooth, wild), strict=True):
        assert (np.abs(grid.loss / truth - 1) <= 0.03).mean() >= 0.95


def test_noise_is_not_interpolated() -> None:
    noise = np.exp(np.random.default_rng(0).normal(size=(31, 31)))
    run = sample(noise, tolerance=0.03, seed=0)
    assert run.evaluated.mean() >= 0.9
    assert run.within(0.03) >= 0.95


def test_the_same_surface_gives_the_same_cells() -> None:
    a, b = mesh()
    loss = np.exp(np.sin(12 * a * b) + 3 * a**2)
    one, two = (sample(loss, tolerance=0.03, seed=7) for _ in range(2))
    np.testing.assert_array_equal(one.evaluated, two.evaluated)
    assert one.rounds > 1
    first, second = (r.filled.result.to_arrays() for r in (one, two))
    assert all(np.array_equal(first[name], second[name], equal_nan=True) for name in ("d0.loss",))
