"""Spectra, layers and convexity maps: every value where it belongs, nothing cut or overlapping."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from service.domain.cells import CellStatus
from service.figures import FigureOptions, View, render, views_of
from tests.figures.sight import Sight, look
from tests.figures.spectra import ENDS, FIGURES, NODES, WHOLE, case, density, mapped, point


@pytest.mark.parametrize("name", FIGURES)
def test_nothing_is_cut_and_nothing_overlaps(name: str) -> None:
    require_apart(look(FIGURES[name]))


def require_apart(sight: Sight) -> None:
    """Every word whole on the page, and none on another."""
    height, width = sight.pixels.shape[:2]
    words = sight.words()
    for word in words:
        inside = word.box.x0 >= 0 and word.box.y0 >= 0
        inside = inside and word.box.x1 <= width and word.box.y1 <= height
        assert inside, f"{word.text!r} is cut"
    inset = 0.02 * sight.page.dpi
    for one, other in combinations(words, 2):
        on_it = one.outline(inset).intersects_path(other.outline(inset), filled=True)
        assert not on_it, f"{one.text!r} lies on {other.text!r}"


def test_density_nodes_and_ends_are_where_they_are() -> None:
    sight = look(FIGURES["spectrum"])
    axes = sight.axes("spectrum")
    assert axes.get_yscale() == "log"
    (curve,) = sight.labelled("density", Line2D)
    assert np.array_equal(np.asarray(curve.get_xdata()), density()["density.curve_x"])
    (rug,) = sight.labelled("nodes", LineCollection)
    assert sorted(segment[0][0] for segment in rug.get_segments()) == sorted(NODES)
    marks = sight.labelled("eigenvalue", Line2D)
    at = {float(np.asarray(mark.get_xdata())[0]): mark.get_markerfacecolor() for mark in marks}
    assert set(at) == {12.5, 4.0, 3.0, -0.75}
    # what has not converged is open
    assert at[3.0] != at[4.0] == at[-0.75]
    words = [t.get_text() for t in sight.page.figure.findobj(Text)]
    assert "λₘₐₓ = 12.5" in words
    assert "λₘᵢₙ = −0.75" in words
    assert "1 not converged" in sight.legend
    assert "10 raw nodes of 2 probes" in sight.legend


def test_the_caption_gives_trace_ratio_and_parameters() -> None:
    text = " ".join(t.get_text() for t in look(FIGURES["spectrum"]).page.figure.texts)
    assert "Trace 51.25 ± 0.4 (standard error; deflated, 16 products)." in text
    assert "|λₘᵢₙ / λₘₐₓ| = 0.06." in text
    assert "Hessian over 972 parameters (without bias)" in text


def test_without_a_density_eigenvalues_stand_as_stems() -> None:
    axes = look(FIGURES["stems"]).axes("spectrum")
    assert axes.get_yscale() == "linear"
    stems = [c for c in axes.collections if isinstance(c, LineCollection)]
    assert sorted(s[0][0] for c in stems for s in c.get_segments()) == [-0.75, 3.0, 4.0, 12.5]


def test_layers_are_bars_with_their_traces() -> None:
    sight = look(FIGURES["layers"])
    axes = sight.axes("layers")
    bars = [p.get_width() for p in axes.patches if isinstance(p, Rectangle)]
    assert bars == [7.0, 12.0, -1.0, -0.25]
    words = [t.get_text() for t in axes.findobj(Text)]
    assert {"20 ± 0.5", "30 ± 0.25", "stem.conv"} <= set(words)


def test_views_by_kind() -> None:
    assert views_of(point(**ENDS)) == (View.SPECTRUM,)
    assert views_of(point(**WHOLE)) == (View.SPECTRUM, View.LAYERS)
    with pytest.raises(ValueError, match="does not fit a single point"):
        render(point(**ENDS), FigureOptions(view=View.CURVE))
    with pytest.raises(ValueError, match="does not fit a plane"):
        render(mapped(np.ones((9, 9)), -np.ones((9, 9))), FigureOptions(view=View.SPECTRUM))


def test_ratios_are_on_a_scale_from_0_to_1_with_the_caveat() -> None:
    ratio = np.linspace(0.1, 0.6, 81).reshape(9, 9)
    sight = look(case(mapped(np.ones((9, 9)), -ratio), metric="ratio"))
    bar = sight.axes("colour bar")
    assert bar.get_ylim() == (0.0, 1.0)
    assert bar.get_ylabel() == "|λₘᵢₙ / λₘₐₓ|"
    text = " ".join(t.get_text() for t in sight.page.figure.texts)
    assert "not the reverse" in text
    require_apart(sight)


def test_eigenvalues_of_both_signs_part_at_zero() -> None:
    low = np.linspace(-3.0, 1.0, 81).reshape(9, 9)
    for theme in ("light", "dark"):
        sight = look(case(mapped(np.full((9, 9), 5.0), low), metric="lambda_min", theme=theme))
        assert sight.axes("colour bar").get_ylim() == (-3.0, 3.0)
    far = low.copy()
    far[0, 0] = -1000.0
    sight = look(case(mapped(np.full((9, 9), 5.0), far), metric="lambda_min"))
    assert sight.axes("colour bar").get_ylim()[0] > -10
    assert any("beyond the ends" in t.get_text() for t in sight.page.figure.texts)
    # eigenvalues of one sign need no middle
    sight = look(case(mapped(np.linspace(1, 5, 81).reshape(9, 9), low), metric="lambda_max"))
    assert sight.axes("colour bar").get_ylim() == (1.0, 5.0)


def test_cells_without_curvature_are_hatched() -> None:
    low = np.full((9, 9), -0.5)
    low[2, 3] = np.nan
    result = mapped(np.ones((9, 9)), low)
    status = result.datasets[0].status.copy()
    status[5, 5] = CellStatus.NAN
    result = replace(result, datasets=(replace(result.datasets[0], status=status),))
    sight = look(case(result, metric="ratio"))
    assert "undefined: 1 cell" in sight.legend
    assert "NaN: 1 cell" in sight.legend
