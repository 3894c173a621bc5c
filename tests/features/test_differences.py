"""A difference of two planes: what it is of, and nothing stale of either."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from service.domain.cells import CellStatus
from service.figures.shown import shown
from service.landscapes.differences import subtracted
from tests.exports.cases import WIDE, with_path
from tests.figures.cases import marked, told_apart


def test_the_centre_of_a_difference_is_known() -> None:
    data = WIDE.datasets[0]
    shift = replace(
        data,
        loss=data.loss + 0.25,
        anchors=replace(data.anchors, loss=data.anchors.loss - 0.0003),
    )
    found = subtracted(replace(WIDE, datasets=(shift,)), WIDE)
    item = shown(found.datasets[0], "difference")
    np.testing.assert_allclose(item.values, 0.25)
    np.testing.assert_allclose(item.anchors, [-0.0003])
    assert found.datasets[0].loss is not data.loss
    np.testing.assert_allclose(found.datasets[0].loss, 0.25)


def test_nothing_of_one_side_alone_is_left() -> None:
    mine = told_apart(with_path(WIDE), ["origin", "x"], [[0, 0], [1, 0]], [[1.0, 2.0]])
    mine = replace(
        mine, datasets=(replace(mine.datasets[0], extra={"lambda_max": 0 * WIDE.datasets[0].loss}),)
    )
    found = subtracted(mine, WIDE)
    (grid,) = found.datasets
    assert found.attachments == {}
    assert list(grid.extra) == list(grid.anchors.extra) == ["difference"]
    assert grid.accuracy is None
    assert grid.anchors.accuracy is None
    # only the centre is known of both
    assert found.anchors.tolist() == [[0.0, 0.0]]
    assert grid.anchors.status.tolist() == [0]
    np.testing.assert_allclose(grid.stderr, np.sqrt(2) * WIDE.datasets[0].stderr)


def test_a_hole_of_either_is_a_hole_and_says_why() -> None:
    spoilt = marked(WIDE, {CellStatus.NAN: (slice(0, 1), slice(0, 1))})
    centre = WIDE.datasets[0]
    unknown = np.array([CellStatus.POSINF], dtype=np.int8)
    other = replace(
        WIDE, datasets=(replace(centre, anchors=replace(centre.anchors, status=unknown)),)
    )
    found = subtracted(spoilt, other).datasets[0]
    assert found.status[0, 0] == CellStatus.NAN
    assert np.isnan(found.loss[0, 0])
    assert found.anchors.status.tolist() == [CellStatus.POSINF]
    assert np.isnan(found.anchors.extra["difference"]).all()
    assert (found.status == 0).sum() == found.status.size - 1


def test_planes_without_a_common_anchor() -> None:
    data = WIDE.datasets[0]
    none = replace(
        data.anchors,
        **{name: getattr(data.anchors, name)[:0] for name in ("loss", "stderr", "status")},
        accuracy=None,
    )
    bare = replace(WIDE, anchors=np.zeros((0, 2)), datasets=(replace(data, anchors=none),))
    assert subtracted(WIDE, bare).anchors.shape == (0, 2)
