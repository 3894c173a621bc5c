"""The same question gives the same bytes, on any thread and whatever the process does besides."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from xml.etree import ElementTree

import matplotlib as mpl
import pytest

from service.figures import FigureOptions, View, render, views_of
from tests.figures.cases import LINE, SIDE, VOIDS, Case, cases, chaos, plane_of
from tests.figures.sight import decoded
from tests.figures.spectra import WHOLE, case, point

EACH_VIEW = {
    "curve": Case(LINE),
    **{view.value: Case(VOIDS).but(view=view) for view in views_of(VOIDS)},
    **{view.value: case(point(**WHOLE), view=view) for view in views_of(point(**WHOLE))},
}


@pytest.mark.parametrize("file_format", ["png", "svg"])
@pytest.mark.parametrize("view", EACH_VIEW)
def test_equal_input_gives_equal_bytes(view: str, file_format: str) -> None:
    case = EACH_VIEW[view]
    first = render(case.grid, case.options, file_format)  # type: ignore[arg-type]
    other = cases()["dark-filled"]
    render(other.grid, other.options)
    with mpl.rc_context({"font.size": 23, "axes.grid": True, "image.cmap": "hot"}):
        assert render(case.grid, case.options, file_format) == first  # type: ignore[arg-type]


def test_a_fresh_process_gives_the_same_bytes_and_loads_no_pyplot() -> None:
    program = (
        "import sys, hashlib\n"
        "from service.figures import render\n"
        "from tests.figures.test_render import EACH_VIEW\n"
        "for case in EACH_VIEW.values():\n"
        "    for kind in ('png', 'svg'):\n"
        "        print(hashlib.sha256(render(case.grid, case.options, kind)).hexdigest())\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    here = [
        hashlib.sha256(render(case.grid, case.options, kind)).hexdigest()
        for case in EACH_VIEW.values()
        for kind in ("png", "svg")
    ]
    assert ran.stdout.split() == here


def test_four_threads_draw_what_one_does() -> None:
    work = list(EACH_VIEW.values()) * 2
    serial = [render(case.grid, case.options) for case in work]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda case: render(case.grid, case.options), work)) == serial


def test_the_process_s_own_settings_come_back() -> None:
    with mpl.rc_context({"font.size": 23}):
        before = dict(mpl.rcParams)
        render(LINE, FigureOptions())
        assert dict(mpl.rcParams) == before


@pytest.mark.parametrize("width", [200, 333, 1000, 1777, 4000])
@pytest.mark.parametrize("view", ["curve", "heatmap", "surface"])
def test_the_width_is_the_one_asked_for(width: int, view: str) -> None:
    case = EACH_VIEW[view].but(width=width)
    picture = decoded(render(case.grid, case.options))
    root = ElementTree.fromstring(render(case.grid, case.options, "svg"))  # noqa: S314 - our own
    assert picture.shape[1] == width
    assert root.attrib["width"] == str(width)
    assert int(root.attrib["height"]) == pytest.approx(picture.shape[0], abs=1)


def test_svg_says_neither_when_nor_by_what_it_was_made() -> None:
    text = render(VOIDS, FigureOptions(), "svg").decode()
    assert "<dc:date>" not in text
    assert "Matplotlib" not in text
    assert not re.search(r"\b20\d\d-\d\d-\d\d", text)


def test_names_are_never_taken_for_formulas_or_markup() -> None:
    hostile = "a$\\frac{1}{0$ <script>&amp; _x^2 %s {0}"
    grid = plane_of(chaos, SIDE, SIDE, name=hostile)
    options = FigureOptions(title=hostile, x_label=hostile, y_label=hostile)
    ElementTree.fromstring(render(grid, options, "svg"))  # noqa: S314 - our own
    render(grid, options)


@pytest.mark.parametrize("view", [View.CONTOUR, View.FILLED, View.HEATMAP, View.SURFACE])
def test_a_view_of_planes_is_refused_for_a_line_and_the_other_way_round(view: View) -> None:
    with pytest.raises(ValueError, match="does not fit a line"):
        render(LINE, FigureOptions(view=view))
    with pytest.raises(ValueError, match="does not fit a plane"):
        render(VOIDS, FigureOptions(view=View.CURVE))


def test_what_is_not_there_is_named() -> None:
    with pytest.raises(KeyError, match="validation"):
        render(VOIDS, FigureOptions(dataset="validation"))
    with pytest.raises(KeyError, match="entropy"):
        render(VOIDS, FigureOptions(metric="entropy"))


@pytest.mark.parametrize(
    "bad", [{"width": 199}, {"width": 4001}, {"levels": 1}, {"levels": 101}, {"vmin": 2, "vmax": 1}]
)
def test_options_out_of_range_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be"):
        FigureOptions(**bad)  # type: ignore[arg-type]
