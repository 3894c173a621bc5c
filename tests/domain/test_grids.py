"""Axes, the order of work and the cutting of tiles."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from service.domain.grids import Axis, coarse_to_fine, cut_tiles, first_tile_size, tile_size


def test_points_include_both_ends_and_an_exact_zero() -> None:
    points = Axis(min=-1, max=1, num=51).points()
    assert (points[0], points[-1], points[25]) == (-1.0, 1.0, 0.0)
    # an axis whose arithmetic leaves 1e-17 instead of zero
    assert 0.0 in Axis(min=-0.3, max=0.6, num=10).points()


def test_a_range_may_end_at_zero() -> None:
    assert Axis(min=-1, max=0, num=5).points().tolist() == [-1.0, -0.75, -0.5, -0.25, 0.0]


@pytest.mark.parametrize(
    "bad",
    [
        {"min": 1, "max": -1, "num": 5},
        {"min": 0, "max": 0, "num": 2},
        {"min": 0, "max": 1, "num": 1},
        {"min": 0, "max": 1, "num": 0},
        {"min": float("nan"), "max": 1, "num": 3},
        {"min": 0, "max": float("inf"), "num": 3},
        {"min": 0, "max": 1, "num": 3, "step": 1},
    ],
)
def test_bad_axes_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        Axis.model_validate(bad)


@given(st.one_of(st.tuples(st.integers(1, 60)), st.tuples(st.integers(1, 40), st.integers(1, 40))))
def test_the_order_is_a_permutation(shape: tuple[int, ...]) -> None:
    order = coarse_to_fine(shape)
    assert sorted(order.tolist()) == list(range(int(np.prod(shape))))


def test_a_short_prefix_covers_the_whole_grid() -> None:
    ny, nx = 51, 51
    prefix = coarse_to_fine((ny, nx))[: ny * nx // 25]
    iy, ix = np.divmod(prefix, nx)
    grid_y, grid_x = np.divmod(np.arange(ny * nx), nx)
    distance = np.max(np.abs(np.stack([grid_y[:, None] - iy, grid_x[:, None] - ix])), axis=0).min(
        axis=1
    )
    assert distance.max() <= 8
    assert {0, nx - 1, (ny - 1) * nx, ny * nx - 1} <= set(prefix.tolist())


@given(st.integers(1, 5000), st.integers(1, 700))
def test_tiles_cover_every_cell_once(cells: int, size: int) -> None:
    tiles = list(cut_tiles(cells, size))
    assert tiles[0][0] == 0
    assert tiles[-1][1] == cells
    assert all(a[1] == b[0] for a, b in itertools.pairwise(tiles))
    assert all(0 < stop - start <= size for start, stop in tiles)


def test_the_first_tiles_are_small_and_grow() -> None:
    tiles = list(cut_tiles(100, 20, first_cells=3))
    assert [stop - start for start, stop in tiles] == [3, 6, 12, 20, 20, 20, 19]
    assert tiles[-1][1] == 100
    assert list(cut_tiles(10, 4, first_cells=9)) == list(cut_tiles(10, 4))
    # about a second of work, one cell at least, never more than a tile
    assert first_tile_size(50, cell_seconds=0.2) == 5
    assert first_tile_size(5, cell_seconds=2.0) == 1
    assert first_tile_size(625, cell_seconds=0.0001) == 625


def test_tile_sizes() -> None:
    # little work stays whole; much work is cut by time; in between every hand gets some
    assert tile_size(625, cell_seconds=0.001, tile_seconds=10) == 625
    assert tile_size(2601, cell_seconds=2.0, tile_seconds=10) == 5
    assert tile_size(625, cell_seconds=0.1, tile_seconds=10) == 10
    assert tile_size(10, cell_seconds=60.0, tile_seconds=10) == 1
