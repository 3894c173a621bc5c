"""A plane's values are drawn where they belong, with their scale, their centre and their holes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from matplotlib import colormaps
from matplotlib.collections import LineCollection
from matplotlib.contour import QuadContourSet
from matplotlib.lines import Line2D
from matplotlib.patches import PathPatch
from mpl_toolkits.mplot3d.art3d import Poly3DCollection

from service.domain.cells import CellStatus
from service.figures import FigureOptions, View
from tests.figures.cases import (
    CAPTION,
    PARTIAL,
    SIDE,
    THROUGH,
    VOIDS,
    Case,
    bowl,
    cases,
    chaos,
    plane_of,
    span,
    valley,
)
from tests.figures.sight import Sight, look

#: Not square, and asymmetric about both axes and the diagonal.
X, Y = span(-1, 1, 9), span(-0.5, 0.5, 5)
OBLONG = plane_of(valley, X, Y)
PLANE_VIEWS = (View.CONTOUR, View.FILLED, View.HEATMAP, View.SURFACE)
COUNTS = {
    CellStatus.NAN: ("NaN", 20),
    CellStatus.POSINF: ("+∞", 30),
    CellStatus.NEGINF: ("−∞", 6),
    CellStatus.INVALID_BUFFER: ("invalid running variance", 48),
    CellStatus.FAILED: ("failed", 21),
}


def view_of(case: Case, view: View, **changes: object) -> Sight:
    return look(case.but(view=view, **changes))


def test_every_cell_of_a_heatmap_has_its_value_s_colour() -> None:
    sight = view_of(Case(OBLONG), View.HEATMAP)
    axes = sight.axes("plane")
    loss = OBLONG.datasets[0].loss
    share = (loss - loss.min()) / (loss.max() - loss.min())
    for iy, b in enumerate(Y):
        for ix, a in enumerate(X):
            # off the cell's middle, where the centre may be marked
            seen = sight.pixel(axes, a + 0.08, b + 0.08).astype(float)
            meant = 255 * np.array(colormaps["viridis"](share[iy, ix])[:3])
            assert np.abs(seen - meant).max() <= 3, (ix, iy)


def test_ticks_stand_where_their_numbers_say() -> None:
    for view in (View.CONTOUR, View.FILLED, View.HEATMAP):
        axes = view_of(Case(OBLONG), view).axes("plane")
        assert (axes.get_xlabel(), axes.get_ylabel()) == ("α", "β")
        for axis in (axes.xaxis, axes.yaxis):
            texts = [t.get_text().replace("−", "-") for t in axis.get_ticklabels()]
            assert len(texts) >= 3
            assert [float(t) for t in texts] == pytest.approx(list(axis.get_majorticklocs()))
        low, high = axes.get_xlim()
        left = axes.transData.transform((low, 0))[0]
        assert left < axes.transData.transform((high, 0))[0]


def test_contours_close_around_the_minimum() -> None:
    fine = plane_of(valley, span(-1, 1, 41), span(-1, 1, 41))
    for view in (View.CONTOUR, View.FILLED):
        sight = view_of(Case(fine), view)
        lines = [
            c
            for c in sight.axes("plane").collections
            if isinstance(c, QuadContourSet) and not c.filled
        ]
        assert len(lines) == 1
        lowest = np.concatenate(lines[0].allsegs[0])
        middle = (lowest.min(axis=0) + lowest.max(axis=0)) / 2
        assert middle == pytest.approx([0.5, -0.25], abs=0.02)
        # and each line lies where the function has its level
        for level, segments in zip(lines[0].levels, lines[0].allsegs, strict=True):
            for segment in segments:
                assert valley(segment[:, 0], segment[:, 1]) == pytest.approx(level, abs=0.05)


def test_the_surface_s_corners_lie_on_the_values() -> None:
    sight = view_of(Case(OBLONG), View.SURFACE)
    (relief,) = sight.labelled("relief", Poly3DCollection)
    corners = np.asarray(relief._faces).reshape(-1, 3)
    assert len(corners) == 4 * (len(X) - 1) * (len(Y) - 1)
    assert corners[:, 2] == pytest.approx(valley(corners[:, 0], corners[:, 1]))


@pytest.mark.parametrize("view", PLANE_VIEWS)
def test_a_colour_bar_tells_the_scale(view: View) -> None:
    for case in (Case(OBLONG), Case(plane_of(chaos, SIDE, SIDE))):
        bar = view_of(case, view).axes("colour bar")
        loss = case.grid.datasets[0].loss
        logarithmic = loss.max() / loss.min() > 100
        assert bar.get_ylabel() == ("loss (log scale)" if logarithmic else "loss")
        assert bar.get_ylim() == pytest.approx((loss.min(), loss.max()))
        assert bar.get_yscale() == ("log" if logarithmic else "linear")
        assert len([t for t in bar.get_yticklabels() if t.get_text()]) >= 3


def test_accuracy_is_told_in_per_cent_on_a_linear_scale() -> None:
    bar = view_of(Case(OBLONG), View.FILLED, metric="accuracy").axes("colour bar")
    assert bar.get_ylabel() == "accuracy"
    assert all(t.get_text().endswith("%") for t in bar.get_yticklabels())


def test_clipping_is_shown_at_the_bar_s_ends_and_flattens_the_surface() -> None:
    case = Case(plane_of(chaos, SIDE, SIDE)).but(vmin=10.0, vmax=1e5)
    bar = look(case.but(view=View.FILLED)).axes("colour bar")
    assert bar.get_ylim() == pytest.approx((10, 1e5))
    (relief,) = look(case.but(view=View.SURFACE)).labelled("relief", Poly3DCollection)
    heights = np.asarray(relief._faces)[..., 2]
    assert (heights.min(), heights.max()) == pytest.approx((1.0, 5.0))


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("view", PLANE_VIEWS)
def test_each_kind_of_hole_has_its_hatch_and_its_count(view: View, theme: str) -> None:
    sight = view_of(Case(VOIDS), view, theme=theme)
    kind = Poly3DCollection if view is View.SURFACE else PathPatch
    hatches = set()
    for code, (word, count) in COUNTS.items():
        (drawn,) = sight.labelled(f"status {code.word}", kind)
        assert drawn.get_hatch(), code
        hatches.add(drawn.get_hatch())
        assert f"{word}: {count} cells" in sight.legend
    assert len(hatches) == len(COUNTS)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_hatches_can_be_seen(theme: str) -> None:
    sight = view_of(Case(VOIDS), View.HEATMAP, theme=theme)
    axes = sight.axes("plane")
    status = VOIDS.datasets[0].status
    for code in COUNTS:
        iy, ix = (indices[len(indices) // 2] for indices in np.nonzero(status == code))
        half = 0.04
        around = [
            sight.pixel(axes, SIDE[ix] + dx, SIDE[iy] + dy).astype(int).sum()
            for dx in np.linspace(-half, half, 15)
            for dy in np.linspace(-half, half, 15)
        ]
        assert max(around) - min(around) > 3 * 60, code


def test_pending_cells_are_a_flat_tone_and_the_progress_is_said() -> None:
    sight = view_of(Case(PARTIAL), View.CONTOUR)
    (drawn,) = sight.labelled("status pending", PathPatch)
    assert drawn.get_hatch() is None
    assert "pending: 204 cells" in sight.legend
    assert "computed so far: 421 of 625 cells" in sight.prose
    assert "The cells themselves are drawn while some are pending." in sight.prose


@pytest.mark.parametrize("view", PLANE_VIEWS)
def test_the_centre_is_marked_and_its_value_told(view: View) -> None:
    sight = view_of(Case(OBLONG), view)
    role = "surface" if view is View.SURFACE else "plane"
    signs = [s for s in sight.labelled("centre", Line2D) if s.axes is sight.axes(role)]
    assert len(signs) == 1
    if view is not View.SURFACE:
        assert sight.points(signs[0]).tolist() == [[0.0, 0.0]]
        assert (sight.pixel(sight.axes("plane"), 0, 0) == 255).all()
    assert "centre: the trained network, loss 2.562" in sight.legend


def test_a_centre_outside_the_range_is_not_marked() -> None:
    sight = view_of(cases()["off-centre-contour"], View.CONTOUR)
    assert not sight.labelled("centre", Line2D)


def test_a_plane_is_true_to_scale_unless_it_says_otherwise() -> None:
    sight = view_of(Case(OBLONG), View.CONTOUR)
    frame = sight.axes("plane").get_window_extent()
    assert frame.height / frame.width == pytest.approx(0.5, rel=0.01)
    assert "same scale" not in sight.prose
    stretched = Case(plane_of(bowl, span(-10, 10, 41), span(-0.5, 0.5, 9)))
    assert "not drawn to the same scale" in view_of(stretched, View.CONTOUR).prose


def test_contour_labels_name_their_own_level() -> None:
    for name in ("smooth-contour", "smooth-filled"):
        sight = look(cases()[name])
        axes = sight.axes("plane")
        loss = cases()[name].grid.datasets[0].loss
        assert len(axes.texts) >= 5
        for text in axes.texts:
            a, b = text.get_position()
            ix, iy = np.abs(SIDE - a).argmin(), np.abs(SIDE - b).argmin()
            beside = loss[max(0, iy - 1) : iy + 2, max(0, ix - 1) : ix + 2]
            assert beside.min() <= float(text.get_text()) <= beside.max()


def test_zero_on_a_logarithmic_scale_lies_below_it_and_is_said() -> None:
    case = cases()["touching-zero-heatmap"]
    sight = look(case)
    zeros = int((case.grid.datasets[0].loss == 0).sum())
    assert f"{zeros} values of zero or less lie below the logarithmic scale." in sight.prose
    # they are drawn in the lowest colour, not left out
    seen = sight.pixel(sight.axes("plane"), 0.08, 0.0).astype(float)
    assert np.abs(seen - 255 * np.array(colormaps["viridis"](0.0)[:3])).max() <= 3


def test_a_cell_no_contour_reaches_is_still_drawn() -> None:
    lonely = np.full((25, 25), np.nan)
    lonely[12, 12] = 3.0
    first = OBLONG.datasets[0]
    status = np.where(np.isnan(lonely), CellStatus.NAN, CellStatus.OK).astype(np.int8)
    grid = replace(
        OBLONG,
        x=SIDE,
        y=SIDE,
        datasets=(replace(first, loss=lonely, status=status, accuracy=None),),
    )
    sight = look(Case(grid, FigureOptions(view=View.CONTOUR, caption=CAPTION)))
    seen = sight.pixel(sight.axes("plane"), 0.035, 0.035).astype(int)
    assert seen.max() - seen.min() > 30, "a colour and not paper or hatch"


def test_lines_and_areas_share_one_colour_scale() -> None:
    sight = look(cases()["smooth-contour"])
    ticks = [c for c in sight.axes("colour bar").collections if isinstance(c, LineCollection)]
    assert ticks, "the bar shows the levels"


def drawn(sight: Sight, role: str) -> int:
    """Marks of a network that are not the legend's."""
    signs = sight.labelled(f"network {role}", Line2D)
    return sum(sign.axes is not None for sign in signs)


@pytest.mark.parametrize("view", PLANE_VIEWS)
def test_every_network_of_a_plane_is_marked_and_named_with_its_own_loss(view: View) -> None:
    sight = look(cases()["plane-through-three"].but(view=view))
    assert (drawn(sight, "x"), drawn(sight, "y")) == (1, 1)
    assert "checkpoint \u201cadam\u201d: loss 0.376 itself, 2.15 on the plane" in sight.legend
    assert "checkpoint \u201clamb\u201d: loss 0.41 itself, 1.35 on the plane" in sight.legend
    words = [text.get_text() for text in sight.page.figure.texts]
    assert any("on a plane through three networks" in text for text in words)


def test_a_network_beyond_the_grid_is_told_and_not_drawn() -> None:
    grid = plane_of(bowl, span(-1, 0.5, 7), span(-1, 1, 7))
    sight = look(Case(grid, FigureOptions(caption=THROUGH)))
    assert (drawn(sight, "x"), drawn(sight, "y")) == (0, 1)
    said = "checkpoint \u201cadam\u201d (beyond the grid, at α = 1, β = 0)"
    assert said in sight.legend
