"""A path of training in a figure: where it lies, what marks it, and what is said of it."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch
from mpl_toolkits.mplot3d.art3d import Line3D

from service.domain.questions.trajectory.result import Trajectory
from service.figures.trajectory import axis_names, percent, sentences
from tests.figures.paths import cases
from tests.figures.sight import look

CASES = cases()


def path_of(name: str) -> Trajectory:
    path = Trajectory.of(CASES[name].grid)
    assert path is not None
    return path


@pytest.mark.parametrize("name", ["path-one-contour", "path-several-filled", "path-one-heatmap"])
def test_every_run_is_drawn_where_it_went(name: str) -> None:
    path, sight = path_of(name), look(CASES[name])
    lines = sight.labelled("path", LineCollection)
    assert len(lines) == len(path.run_labels)
    for run, line in enumerate(lines):
        at = path.coordinates[path.rows(run)]
        segments = np.array(line.get_segments())
        assert np.allclose(segments[:, 0], at[:-1])
        assert np.allclose(segments[:, 1], at[1:])


def test_marks_lie_on_the_path() -> None:
    sight = look(CASES["path-one-contour"])
    path = path_of("path-one-contour")
    (drops,) = (line for line in sight.axes("plane").lines if line.get_label() == "drop")
    assert np.allclose(sight.points(drops), path.coordinates[[6, 9]])
    (start,) = (line for line in sight.axes("plane").lines if line.get_label() == "start")
    assert np.allclose(sight.points(start), path.coordinates[:1])


def test_arrows_point_the_way_of_time() -> None:
    sight = look(CASES["path-one-contour"])
    arrows = sight.labelled("arrow", FancyArrowPatch)
    assert 3 <= len(arrows) <= 7
    for arrow in arrows:
        # the shaft from tail to tip comes first; this path goes to smaller x all the way
        shaft = np.asarray(arrow.get_path().vertices)[:3, 0]
        assert (np.diff(shaft) < 0).all()


def test_a_hidden_path_leaves_the_axes_names() -> None:
    sight = look(CASES["path-hidden"])
    assert not sight.labelled("path", LineCollection)
    assert not sight.labelled("drop", Line2D)
    assert sight.axes("plane").get_xlabel() == "PC 1 (83.1%)"
    assert sight.axes("plane").get_ylabel() == "PC 2 (9.4%)"


def test_on_a_relief_the_path_lies_on_the_surface() -> None:
    case = CASES["path-one-surface"]
    sight, path = look(case), path_of("path-one-surface")
    drops = [d for d in sight.labelled("drop", Line3D) if len(d.get_data_3d()[0])]
    (x, y, z) = drops[0].get_data_3d()
    assert np.allclose(np.column_stack([x, y]), path.coordinates[[6, 9]])
    # drawn on a logarithmic scale, between the grid's points
    grid = case.grid.datasets[0]
    assert z == pytest.approx(np.log10(path.plane(grid.anchors).loss[[6, 9]]), abs=0.05)


def test_what_is_said() -> None:
    grid = CASES["path-one-contour"].grid
    path = path_of("path-one-contour")
    assert axis_names(path) == ("PC 1 (83.1%)", "PC 2 (9.4%)")
    first, second = sentences(path, grid, grid.datasets[0])
    assert "holds 92.5% of the path's variation, the best of 2 random planes 0.031%" in first
    assert "checkpoint 0" in second
    inside = CASES["path-in-plane-contour"].grid
    assert len(sentences(path_of("path-in-plane-contour"), inside, inside.datasets[0])) == 1


@pytest.mark.parametrize(
    ("share", "said"),
    [
        (0.9719, "97.2%"),
        (1.0, "100.0%"),
        (0.99999, ">99.9%"),
        (3.1e-4, "0.031%"),
        (1e-9, "<0.001%"),
        (0.0, "0%"),
    ],
)
def test_shares_are_rounded_honestly(share: float, said: str) -> None:
    assert percent(share) == said
