"""A line's values, ends and holes, loss on the left and accuracy on the right."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from tests.figures.cases import (
    LINE,
    LINE_APART,
    Case,
    cases,
    line_of,
    parabola,
    span,
    told_apart,
)
from tests.figures.sight import Sight, look


def line(sight: Sight, label: str) -> Line2D:
    (found,) = sight.labelled(label, Line2D)
    return found


def test_loss_is_left_accuracy_right_train_solid_test_dashed() -> None:
    sight = look(Case(LINE))
    left, right = sight.axes("left"), sight.axes("right")
    assert (left.get_ylabel(), right.get_ylabel()) == ("loss (log scale)", "accuracy")
    middle = left.get_window_extent().x0 + left.get_window_extent().width / 2
    assert left.yaxis.label.get_window_extent().x1 < middle
    assert right.yaxis.label.get_window_extent().x0 > middle
    for name, style in (("train", "-"), ("test", "--")):
        loss, accuracy = line(sight, f"loss {name}"), line(sight, f"accuracy {name}")
        assert loss.axes is left
        assert accuracy.axes is right
        assert loss.get_linestyle() == accuracy.get_linestyle() == style
    assert line(sight, "loss train").get_color() != line(sight, "accuracy train").get_color()
    assert [t.get_text() for t in right.get_yticklabels()][-1] == "100%"


def test_lines_pass_through_every_point_and_both_ends() -> None:
    sight = look(Case(LINE))
    for grid in LINE.datasets:
        drawn = line(sight, f"loss {grid.name}")
        x, y = np.asarray(drawn.get_xdata()), np.asarray(drawn.get_ydata())
        assert (np.diff(x) > 0).all()
        for at, value in zip(LINE.x, grid.loss, strict=True):
            assert y[np.flatnonzero(x == at)[0]] == value
        # 51 points from −0.5 to 1.5 miss α = 0, yet its loss is known
        for at, value in zip((0.0, 1.0), grid.anchors.loss, strict=True):
            assert y[np.flatnonzero(np.isclose(x, at))[0]] == pytest.approx(value)
            marks = sight.labelled(f"end loss {grid.name}", Line2D)
            assert any(sight.points(m) == pytest.approx(np.array([[at, value]])) for m in marks)
    assert "origin (α = 0) and target (α = 1)" in sight.legend


def test_a_network_is_marked_apart_from_what_the_line_gives() -> None:
    sight = look(Case(LINE_APART))
    for grid, own in zip(LINE_APART.datasets, (0.12, 0.38), strict=True):
        (sign,) = sight.labelled(f"own loss {grid.name}", Line2D)
        assert sight.points(sign) == pytest.approx(np.array([[1.0, own]]))
        assert sign.get_marker() == "D"
        ends = sight.labelled(f"end loss {grid.name}", Line2D)
        assert not any(np.allclose(sight.points(end), sight.points(sign)) for end in ends)
        (accuracy,) = sight.labelled(f"own accuracy {grid.name}", Line2D)
        assert accuracy.axes is sight.axes("right")
    assert "a network itself, with its own running statistics" in sight.legend
    assert "origin (α = 0) and target (α = 1), as on the line" in sight.legend
    one = look(cases()["line-apart-one"])
    (tie,) = one.labelled("tie own loss train", Line2D)
    assert sorted(np.asarray(tie.get_ydata())) == pytest.approx([0.12, 1.32])
    assert "itself" not in " ".join(look(Case(LINE)).legend)


def test_a_scale_reaches_a_network_below_its_line() -> None:
    low = told_apart(
        line_of({"train": lambda a: 5 + a}, span(0, 1, 5)),
        ["origin", "target"],
        [[0.0, 0.0], [1.0, 0.0]],
        [[5.0, 0.1]],
    )
    sight = look(Case(low).but(log=False))
    bottom, _ = sight.axes("left").get_ylim()
    assert bottom < 0.1


def test_holes_interrupt_the_line_and_are_hatched_and_counted() -> None:
    case = cases()["line-holes"]
    sight = look(case)
    train, test = case.grid.datasets
    drawn = np.asarray(line(sight, "loss train").get_ydata())
    assert np.isnan(drawn).sum() == (~np.isfinite(train.loss)).sum()
    nan = np.isnan(train.loss) | np.isnan(test.loss)
    bands = sight.labelled("status nan", Rectangle)
    assert len(bands) == nan.sum()
    assert all(band.get_hatch() for band in bands)
    infinite = np.isposinf(train.loss)
    assert len(sight.labelled("status posinf", Rectangle)) == infinite.sum()
    assert f"NaN: {nan.sum()} points" in sight.legend
    assert f"+∞: {infinite.sum()} points" in sight.legend


def test_however_many_data_sets_all_are_drawn_and_told_apart() -> None:
    names = [f"set-{k}" for k in range(11)]
    grid = line_of({n: parabola(k) for k, n in enumerate(names)}, span(0, 1, 5))
    sight = look(Case(grid))
    looks = set()
    for name in names:
        drawn = line(sight, f"loss {name}")
        looks.add(
            (
                drawn.get_color(),
                str(drawn.get_linestyle()),
                str(vars(drawn)["_unscaled_dash_pattern"]),
            )
        )
        assert f"loss, {name}" in sight.legend
        assert f"accuracy, {name}" in sight.legend
    assert len(looks) == len(names)


def test_one_data_set_or_one_metric_on_request() -> None:
    sight = look(Case(LINE).but(dataset="train"))
    assert not sight.labelled("loss test", Line2D)
    sight = look(Case(LINE).but(metric="accuracy"))
    assert not sight.labelled("loss train", Line2D)
    assert [a.get_label() for a in sight.page.figure.axes] == ["left"]


def test_without_accuracy_there_is_one_axis() -> None:
    sight = look(cases()["line-loss-only"])
    assert [a.get_label() for a in sight.page.figure.axes] == ["left"]


def test_a_logarithmic_axis_is_chosen_beyond_two_decades_and_can_be_refused() -> None:
    steep = cases()["line-steep"]
    assert look(steep).axes("left").get_yscale() == "log"
    assert look(steep.but(log=False)).axes("left").get_yscale() == "linear"
    flat = Case(line_of({"train": lambda a: 1 + a**2}, span(-1, 1, 9)))
    assert look(flat).axes("left").get_yscale() == "linear"
    assert look(flat.but(log=True)).axes("left").get_yscale() == "log"
