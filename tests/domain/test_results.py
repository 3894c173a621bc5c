"""Tiles into grids, and grids into npz and JSON."""

from __future__ import annotations

import json

import numpy as np
import pytest

from service.domain.cells import CellStatus
from service.domain.plan import JobPlan
from service.domain.results import (
    DatasetTile,
    GridResult,
    Tile,
    assemble,
    decode_npz,
    encode_npz,
    unique_names,
)
from tests.support.planned import planned


def plan(x: list[float], y: list[float] | None) -> JobPlan:
    return planned(x, y, tile_cells=2, batch_size=128)


def tile_of(p: JobPlan, start: int, stop: int) -> Tile:
    """Loss 10α + β, so that a misplaced value is seen at once."""
    index = p.order()[start:stop]
    at = p.coordinates()[index]
    values = 10 * at[:, 0] + at[:, 1]
    ok = np.zeros(len(index), dtype=np.int8)
    return Tile(index, (DatasetTile(values, 0 * values, values / 100, ok),))


def test_a_non_square_grid_lands_row_by_row() -> None:
    p = plan([-1.0, 0.0, 1.0, 2.0], [0.0, 0.5, 1.0])
    assert p.evaluations == p.cells == 12
    result = assemble(p, ["train"], [7], [tile_of(p, 0, 5), tile_of(p, 5, 12)])
    expected = 10 * np.array(p.x)[None, :] + np.array(p.y)[:, None]
    np.testing.assert_array_equal(result.datasets[0].loss, expected)
    assert result.datasets[0].loss.shape == (3, 4)
    assert not result.status.any()
    np.testing.assert_array_equal(result.datasets[0].anchors.loss, [0.0])


def test_anchors_beside_the_grid_are_evaluated_first_and_kept_apart() -> None:
    p = plan([-0.5, 0.25, 0.75, 1.5], None)
    assert (p.cells, p.evaluations, p.order()[:2].tolist()) == (4, 6, [4, 5])
    result = assemble(p, ["train"], [7], [tile_of(p, 0, 6)])
    np.testing.assert_array_equal(result.datasets[0].loss, [-5, 2.5, 7.5, 15])
    np.testing.assert_array_equal(result.datasets[0].anchors.loss, [0, 10])


def test_cells_without_a_tile_are_pending() -> None:
    p = plan([-1.0, 0.0, 1.0], [-1.0, 0.0, 1.0])
    result = assemble(p, ["train"], [7], [tile_of(p, 0, 4)])
    assert int((result.status == CellStatus.PENDING).sum()) == 5
    shown = json.loads(json.dumps(result.to_json(), allow_nan=False))
    flat = [v for row in shown["datasets"]["train"]["loss"]["values"] for v in row]
    assert flat.count(None) == 5


def test_npz_round_trip_keeps_nan_and_infinity_bit_for_bit() -> None:
    p = plan([0.0, 1.0], [0.0, 1.0])
    losses = np.array([np.nan, np.inf, -np.inf, 1.5])
    codes = [CellStatus.NAN, CellStatus.POSINF, CellStatus.NEGINF, CellStatus.OK]
    tile = Tile(np.arange(4), (DatasetTile(losses, losses, None, np.array(codes, dtype=np.int8)),))
    again = Tile.from_npz(tile.to_npz())
    result = assemble(p, ["a"], [3], [again])
    stored = encode_npz(result.to_arrays())
    back = GridResult.from_arrays(decode_npz(stored))
    np.testing.assert_array_equal(back.datasets[0].loss.ravel(), losses)
    assert back.datasets[0].accuracy is None
    shown = back.to_json()
    assert shown["datasets"]["a"]["loss"]["values"] == [[None, None], [None, 1.5]]
    assert shown["status"] == [["nan", "posinf"], ["neginf", "ok"]]
    assert stored == encode_npz(back.to_arrays())


def test_a_tile_of_another_job_is_refused() -> None:
    p = plan([0.0, 1.0], [0.0, 1.0])
    with pytest.raises(ValueError, match="data sets"):
        assemble(p, ["a", "b"], [1, 1], [tile_of(p, 0, 4)])
    big = plan([0.0, 1.0, 2.0], [0.0, 1.0, 2.0])
    with pytest.raises(ValueError, match="outside"):
        assemble(p, ["a"], [1], [tile_of(big, 0, 9)])


def test_objects_are_never_unpickled() -> None:
    with pytest.raises(ValueError, match=r"pickle|Object arrays"):
        decode_npz(_pickled_npz())
    with pytest.raises(ValueError, match="not an npz"):
        decode_npz(b"PK\x03\x04 nonsense")


def _pickled_npz() -> bytes:
    import io

    buffer = io.BytesIO()
    np.savez(buffer, a=np.array([{"x": 1}], dtype=object))
    return buffer.getvalue()


def test_equal_names_are_told_apart() -> None:
    assert unique_names(["train", "test", "train"]) == ("train", "test", "train (2)")


def test_extra_values_travel_with_the_cells() -> None:
    p = plan([0.0, 1.0, 2.0], [0.0, 1.0])
    index = p.order()
    ok = np.zeros(6, dtype=np.int8)
    values = 1.0 * index
    tile = Tile(index, (DatasetTile(values, values, None, ok, {"lambda_max": values * 2}),))
    result = assemble(p, ["a"], [1], [Tile.from_npz(tile.to_npz())])
    back = GridResult.from_arrays(decode_npz(encode_npz(result.to_arrays())))
    np.testing.assert_array_equal(back.datasets[0].extra["lambda_max"], [[0, 2, 4], [6, 8, 10]])
    assert back.to_json()["datasets"]["a"]["lambda_max"]["values"] == [[0, 2, 4], [6, 8, 10]]
    assert back.datasets[0].anchors.extra["lambda_max"].tolist() == [0.0]
