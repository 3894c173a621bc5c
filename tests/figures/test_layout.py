"""Every case of the gallery: nothing cut, nothing on top of anything else."""

from __future__ import annotations

from functools import cache
from itertools import combinations

import pytest
from mpl_toolkits.mplot3d.axes3d import Axes3D

from tests.figures import paths
from tests.figures.cases import cases
from tests.figures.sight import Sight, look

CASES = cases() | paths.cases()


@cache
def seen(name: str) -> Sight:
    return look(CASES[name])


@pytest.mark.parametrize("name", CASES)
def test_words_stay_on_the_page_and_apart(name: str) -> None:
    sight = seen(name)
    height, width = sight.pixels.shape[:2]
    assert width == CASES[name].options.width
    words = sight.words()
    for word in words:
        assert word.box.x0 >= 0, f"{word.text!r} is cut on the left"
        assert word.box.y0 >= 0, f"{word.text!r} is cut below"
        assert word.box.x1 <= width, f"{word.text!r} is cut on the right"
        assert word.box.y1 <= height, f"{word.text!r} is cut above"
    inset = 0.02 * sight.page.dpi
    for one, other in combinations(words, 2):
        if one.box.overlaps(other.box):
            apart = not one.outline(inset).intersects_path(other.outline(inset), filled=True)
            assert apart, f"{one.text!r} lies on {other.text!r}"


@pytest.mark.parametrize("name", CASES)
def test_nothing_is_written_over_the_data(name: str) -> None:
    sight = seen(name)
    figure = sight.page.figure
    frames = [a.get_window_extent() for a in figure.axes if not isinstance(a, Axes3D)]
    around = [a.get_window_extent(sight.page.renderer) for a in (*figure.texts, *figure.legends)]
    for frame in frames:
        assert not any(frame.overlaps(box) for box in around)
    for one, other in combinations(frames, 2):
        # a curve's two axes share one frame
        assert one.bounds == pytest.approx(other.bounds) or not one.overlaps(other)


@pytest.mark.parametrize("name", [n for n in CASES if not n.startswith(("long", "line-long"))])
def test_the_caption_says_what_was_drawn(name: str) -> None:
    case, prose = CASES[name], seen(name).prose
    assert "model: resnet56-noshort (final)" in prose
    assert "directions: random (seed 7), filter-normalised" in prose
    assert f"range: {'PC 1' if name.startswith('path') else 'α'}" in prose
    shown = case.grid.datasets if case.grid.y is None else case.grid.datasets[:1]
    for grid in shown:
        if case.options.dataset in (None, grid.name):
            assert f"{grid.name} ({grid.samples:,}\u00a0sample" in prose


@pytest.mark.parametrize("name", ["long-contour", "long-surface", "line-long"])
def test_long_names_are_wrapped_and_not_shortened(name: str) -> None:
    joined = seen(name).prose.replace(" ", "")
    caption = CASES[name].options.caption
    assert caption.model is not None
    assert caption.normalisation is not None
    for said in (caption.model, caption.normalisation, *caption.notes):
        assert said.replace(" ", "") in joined
