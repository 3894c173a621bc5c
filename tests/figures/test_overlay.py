"""Several lines on one pair of axes: each where it belongs, told apart, nothing hidden."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Literal

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.lines import Line2D

from service.domain.cells import CellStatus
from service.domain.results import GridResult
from service.figures import MOST_OVERLAID, FigureOptions, Named, render_overlay
from service.figures.render import compose_overlay
from tests.figures.cases import LINE, VOIDS
from tests.figures.sight import Sight, look_at_page
from tests.figures.test_lines_and_weights import lines


def scaled(result: GridResult, factor: float, hole: int | None = None) -> GridResult:
    grids = []
    for grid in result.datasets:
        status = grid.status.copy()
        loss = grid.loss * factor
        if hole is not None:
            status[hole], loss[hole] = CellStatus.NAN, np.nan
        grids.append(replace(grid, loss=loss, status=status))
    return replace(result, datasets=tuple(grids))


def sight_of(*named: Named, options: FigureOptions | None = None) -> Sight:
    return look_at_page(lambda: compose_overlay(named, options or FigureOptions()))


def test_each_line_lies_where_its_values_are_in_a_colour_of_its_own() -> None:
    one, other = Named("small", LINE), Named("large", scaled(LINE, 3.0))
    sight = sight_of(one, other)
    colours = set()
    for named in (one, other):
        for grid in named.result.datasets:
            words = f"{named.label}, {grid.name}"
            (drawn,) = sight.labelled(words, Line2D)
            np.testing.assert_allclose(
                np.asarray(drawn.get_ydata()), np.where(grid.status == 0, grid.loss, np.nan)
            )
            colours.add((named.label, to_hex(drawn.get_color())))
            assert words in sight.legend
    assert len({colour for _, colour in colours}) == 2
    low, high = sight.axes("overlay").get_ylim()
    shown = [g.loss[g.status == 0] for n in (one, other) for g in n.result.datasets]
    assert low <= min(v.min() for v in shown)
    assert high >= max(v.max() for v in shown)


def test_lines_of_other_ranges_share_one_axis() -> None:
    short = replace(LINE, x=LINE.x / 10)
    axes = sight_of(Named("a", LINE), Named("b", short)).axes("overlay")
    assert axes.get_xlim() == pytest.approx((LINE.x[0], LINE.x[-1]))


def test_means_over_directions_have_bands_and_say_so() -> None:
    sight = sight_of(Named("a", lines()), Named("b", scaled(lines(), 2.0)))
    bands = [c for c in sight.axes("overlay").collections if str(c.get_label()).startswith("band")]
    assert {str(band.get_label()) for band in bands} == {"band a", "band b"}
    assert any("means over directions" in words.text for words in sight.words())


def test_points_without_a_value_are_told() -> None:
    sight = sight_of(Named("a", LINE), Named("holed", scaled(LINE, 2.0, hole=4)))
    said = " ".join(words.text for words in sight.words())
    assert "holed, " in said
    assert "no value at some points (1 NaN)" in said


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1000])
def test_no_words_overlap(theme: Literal["light", "dark"], width: int) -> None:
    long = "VGG-like network of nine layers, batch 16384, weight decay 0.0005, filter-normalised"
    named = [Named(f"{long} {k}", scaled(LINE, 1.0 + k)) for k in range(MOST_OVERLAID)]
    sight = sight_of(*named, options=FigureOptions(theme=theme, width=width))
    boxes = sorted((w.box for w in sight.words()), key=lambda box: box.y0)
    for one, other in pairwise(boxes):
        inside = min(one.y1, other.y1) - max(one.y0, other.y0)
        across = min(one.x1, other.x1) - max(one.x0, other.x0)
        assert inside <= 1.5 or across <= 1.5
    page = sight.page.figure.bbox
    for box in boxes:
        assert box.x0 >= -1
        assert box.x1 <= page.width + 1


def test_bytes_depend_on_the_question_only() -> None:
    named = [Named("a", LINE), Named("b", lines())]
    formats: tuple[Literal["png", "svg"], ...] = ("png", "svg")
    for file_format in formats:
        options = FigureOptions(metric="accuracy", dataset="train")
        first = render_overlay(named, options, file_format)
        render_overlay(named[:1], FigureOptions(theme="dark"))
        assert render_overlay(named, options, file_format) == first


def test_what_cannot_be_laid_over_each_other() -> None:
    with pytest.raises(ValueError, match="only lines"):
        render_overlay([Named("a", LINE), Named("b", VOIDS)], FigureOptions())
    with pytest.raises(ValueError, match="7 lines"):
        render_overlay([Named("a", LINE)] * 7, FigureOptions())
    with pytest.raises(KeyError, match="no data set 'nowhere'"):
        render_overlay([Named("a", LINE)], FigureOptions(dataset="nowhere"))
