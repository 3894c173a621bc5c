"""The page in a real browser: what is seen, what it answers, and that it asks for nothing."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pytest
from numpy.typing import NDArray

from service.domain.results import GridResult
from service.exports import About, Step, encode_page, page_policy, path_of
from service.figures import FigureOptions, render
from tests.exports.cases import HOLES, LINE, NASTY, about, two, with_path
from tests.figures.cases import LINE_APART, bowl, chaos, plane_of, span
from tests.support.browser import BrowserPage, browsing

Write = Callable[..., str]
BOWL = plane_of(bowl, span(-1, 1, 21), span(-1, 1, 21))


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def written(
        result: GridResult, what: About | None = None, trajectory: Sequence[Step] = ()
    ) -> str:
        still = render(result, FigureOptions(width=400))
        path = tmp_path / "page.html"
        path.write_bytes(encode_page(result, what or about(), still, trajectory))
        return path.as_uri()

    return written


def pixels(page: BrowserPage) -> NDArray[Any]:
    """What the stage shows, shape (height, width, 3), from 0 to 1."""
    page.settle()
    shot = matplotlib.image.imread(io.BytesIO(page.screenshot()))[..., :3]
    box = page.evaluate(
        "(({x, y, width, height}) => [x, y, width, height])"
        "(document.getElementById('stage').getBoundingClientRect())"
    )
    x, y, width, height = (round(v) for v in box)
    return np.asarray(shot[y : y + height, x : x + width])


def colourful(image: NDArray[Any]) -> float:
    """The share of pixels that are neither paper nor ink."""
    return float((image.max(axis=2) - image.min(axis=2) > 0.15).mean())


def difference(one: NDArray[Any], other: NDArray[Any]) -> float:
    return float((np.abs(one - other).max(axis=2) > 0.1).mean())


def text(page: BrowserPage, identity: str) -> str:
    return str(page.evaluate(f"document.getElementById('{identity}').textContent"))


def middle(page: BrowserPage) -> tuple[float, float]:
    x, y = page.evaluate(
        "(b => [b.x + b.width / 2, b.y + b.height / 2])"
        "(document.getElementById('stage').getBoundingClientRect())"
    )
    return x, y


def test_a_surface_is_drawn_and_nothing_is_asked_for(page: BrowserPage, write: Write) -> None:
    page.open(write(BOWL))
    assert colourful(pixels(page)) > 0.1
    assert page.evaluate("document.getElementById('still').hidden")
    assert page.complaints == []
    assert page.requested == []


def test_it_turns_under_the_pointer_and_by_keys(page: BrowserPage, write: Write) -> None:
    page.open(write(plane_of(chaos, span(-1, 1, 25), span(-1, 1, 25))))
    first = pixels(page)
    page.drag(middle(page), (140, -40))
    dragged = pixels(page)
    assert difference(first, dragged) > 0.1
    page.evaluate("document.getElementById('stage').focus()")
    focused = pixels(page)
    page.press("ArrowLeft")
    assert difference(focused, pixels(page)) > 0.03
    page.press("+")
    page.press("+")
    assert colourful(pixels(page)) > colourful(focused)
    page.press("t")
    above = pixels(page)
    page.press("0")
    assert difference(above, pixels(page)) > 0.1
    assert difference(first, pixels(page)) < 0.03  # but for the frame of the focus


def test_the_pointer_reads_the_cell_under_it(page: BrowserPage, write: Write) -> None:
    page.open(write(BOWL))
    page.evaluate("document.getElementById('top').click()")
    page.settle()
    x, y = middle(page)
    page.mouse("mouseMoved", x, y)
    page.settle()
    assert text(page, "readout") == "α 0, β 0: loss 0.05 · accuracy 96.545%"
    page.mouse("mouseMoved", x + 60, y)
    right = text(page, "readout")
    alpha = float(right.split(",")[0].removeprefix("α "))
    assert alpha > 0.1
    assert f"loss {0.05 + 2.1 * alpha**2:.3f}"[:9] in right
    page.mouse("mouseMoved", x, y - 60)
    assert text(page, "readout").startswith("α 0, β 0.")


def test_networks_beside_a_line_are_drawn_and_explained(page: BrowserPage, write: Write) -> None:
    page.open(write(LINE_APART))
    apart = pixels(page)
    assert "Diamonds" in text(page, "help")
    assert page.complaints == []
    page.open(write(replace(LINE_APART, attachments={})))
    assert "Diamonds" not in text(page, "help")
    assert 0 < difference(apart, pixels(page)) < 0.1


def test_what_is_behind_cannot_be_read(page: BrowserPage, write: Write) -> None:
    fine = span(-1, 1, 41)
    ridge = plane_of(lambda a, b: 1 + 4 * np.exp(-(((b + 0.5) / 0.12) ** 2)) + 0 * a, fine, fine)
    page.open(write(ridge))
    page.evaluate("document.getElementById('stage').focus()")
    for _ in range(9):
        page.press("ArrowLeft")
    x, y = middle(page)
    seen = []
    for step in range(80):
        page.mouse("mouseMoved", x, y + 240 - 6 * step)
        words = text(page, "readout")
        if words.startswith("α"):
            seen.append(float(words.split("β ")[1].split(":")[0].replace("−", "-")))
    assert seen == sorted(seen)
    assert min(seen) < -0.8
    assert -0.5 in seen
    assert max(seen) > 0.8
    assert not [beta for beta in seen if -0.3 < beta < 0.3], seen


def test_keys_walk_from_cell_to_cell(page: BrowserPage, write: Write) -> None:
    page.open(write(HOLES))
    page.evaluate("document.getElementById('stage').focus()")
    page.press("ArrowRight", shift=True)
    assert text(page, "readout").startswith("α 0.3333, β −0.2: loss 1.1911")
    for _ in range(7):
        page.press("ArrowUp", shift=True)
        page.press("ArrowRight", shift=True)
    assert "loss +∞" in text(page, "readout")
    for _ in range(8):
        page.press("ArrowDown", shift=True)
        page.press("ArrowLeft", shift=True)
    assert "α −1, β −1: loss NaN" in text(page, "readout")
    assert "2 cells have no value" in text(page, "help")


def test_logarithmic_scale(page: BrowserPage, write: Write) -> None:
    page.open(write(plane_of(chaos, span(-1, 1, 25), span(-1, 1, 25))))
    assert page.evaluate("document.getElementById('log').checked")
    before = pixels(page)
    page.evaluate("document.getElementById('log').click()")
    assert difference(before, pixels(page)) > 0.1
    page.open(write(plane_of(lambda a, b: -1 - a**2, span(-1, 1, 5), span(-1, 1, 5))))
    assert page.evaluate("document.getElementById('log').disabled")


def test_data_sets_and_metrics_are_chosen(page: BrowserPage, write: Write) -> None:
    page.open(write(two("train", "test")))
    page.evaluate(
        "(s => { s.value = '1'; s.dispatchEvent(new Event('change')) })"
        "(document.getElementById('dataset'))"
    )
    page.evaluate("document.getElementById('stage').focus()")
    page.press("ArrowRight", shift=True)
    assert "loss 12.6 " in text(page, "readout")
    before = pixels(page)
    page.evaluate(
        "(s => { s.value = 'accuracy'; s.dispatchEvent(new Event('change')) })"
        "(document.getElementById('metric'))"
    )
    assert difference(before, pixels(page)) > 0.02


def test_a_path_is_drawn_on_the_surface(page: BrowserPage, write: Write) -> None:
    result = with_path(HOLES)
    steps = path_of(result)
    assert [(s.x, s.y) for s in steps[:3]] == [(-0.9, 0.9), (-0.5, 0.2), (0.0, 0.0)]
    assert [s.label for s in steps] == [
        "small, früh",
        "small, epoch 1.5",
        "small, last",
        "large, checkpoint 1",
        "large, checkpoint 2",
    ]
    assert [s.run for s in steps] == [0, 0, 0, 1, 1]
    assert [s.dropped for s in steps] == [False, True, False, False, False]
    assert steps[2].loss == 1.0
    page.open(write(result, None, steps))
    assert not page.evaluate("document.getElementById('trajectory-control').hidden")
    image = pixels(page)
    orange = np.array([0xD5, 0x5E, 0x00]) / 255
    near = np.abs(image - orange).max(axis=2) < 0.06
    assert near.sum() > 150
    red = np.array([0xD0, 0, 0]) / 255
    assert (np.abs(image - red).max(axis=2) < 0.06).sum() > 10
    assert "learning rate was lowered" in text(page, "help")
    page.evaluate("document.getElementById('trajectory').click()")
    gone = np.abs(pixels(page) - orange).max(axis=2) < 0.06
    assert gone.sum() < 5
    page.open(write(HOLES))
    assert page.evaluate("document.getElementById('trajectory-control').hidden")


def test_cutting_shows_what_is_low(page: BrowserPage, write: Write) -> None:
    fine = span(-1, 1, 21)
    page.open(write(plane_of(lambda a, b: np.exp(9 * (a**2 + b**2)), fine, fine)))
    page.evaluate("(l => { if (l.checked) l.click() })(document.getElementById('log'))")
    before = pixels(page)
    page.evaluate(
        "(s => { s.value = '20'; s.dispatchEvent(new Event('input')) })"
        "(document.getElementById('cut'))"
    )
    assert difference(before, pixels(page)) > 0.04


def test_dark_and_light(page: BrowserPage, write: Write) -> None:
    page.prefer("dark")
    page.open(write(BOWL))
    assert pixels(page)[2, 2].max() < 0.15
    page.evaluate("document.getElementById('theme').click()")
    assert pixels(page)[2, 2].min() > 0.95
    assert page.evaluate("document.documentElement.dataset.theme") == "light"


@pytest.mark.parametrize("width", [320, 400, 1600])
def test_nothing_runs_over_the_edge(page: BrowserPage, write: Write, width: int) -> None:
    for result in (two("a rather long name of a data set " * 4, "test"), LINE):
        page.resize(width, 800, 2)
        page.open(write(result, about(title="a_title_without_any_place_to_break_" * 4)))
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_line_answers_too(page: BrowserPage, write: Write) -> None:
    page.open(write(LINE))
    assert colourful(pixels(page)) > 0.002
    page.evaluate("document.getElementById('stage').focus()")
    page.press("Home")
    assert text(page, "readout").startswith("α −0.5 — train: loss 1.25 · accuracy")
    assert "test: loss 2.25" in text(page, "readout")
    page.press("ArrowRight")
    assert text(page, "readout").startswith("α −0.25")
    page.mouse("mouseMoved", *middle(page))
    assert text(page, "readout").startswith("α 0.5 ")
    before = pixels(page)
    page.evaluate("document.getElementById('log').click()")
    assert difference(before, pixels(page)) > 0.002
    assert page.complaints == []


def test_names_are_words_and_never_markup(page: BrowserPage, write: Write) -> None:
    page.open(write(two(NASTY, "<!--"), about(title=NASTY, model=NASTY)))
    assert page.evaluate("document.title") == NASTY
    assert page.evaluate("document.querySelectorAll('script').length") == 2
    assert page.evaluate("document.getElementById('dataset').options[0].textContent") == NASTY
    assert page.complaints == []


def test_other_scripts_do_not_run(page: BrowserPage, tmp_path: Path) -> None:
    html = encode_page(BOWL, about(), b"")
    path = tmp_path / "changed.html"
    path.write_bytes(html.replace(b"</main>", b"</main><script>document.title = 'taken'</script>"))
    page.open(path.as_uri())
    assert page.evaluate("document.title") == "digits: surface"
    assert any("Content Security Policy" in words for words in page.complaints)
    assert "unsafe" not in page_policy()


def test_without_scripts_the_figure_is_there(page: BrowserPage, write: Write) -> None:
    page.scripts(allowed=False)
    page.open(write(BOWL))
    assert not page.evaluate("document.getElementById('still').hidden")
    assert page.evaluate("document.getElementById('still').naturalWidth") == 400
    assert page.evaluate("document.getElementById('live').hidden")


def test_without_webgl_the_figure_is_there(write: Write) -> None:
    with browsing("--disable-gpu", "--disable-3d-apis") as browser:
        page = browser.page()
        page.open(write(BOWL))
        assert "no WebGL 2" in text(page, "why")
        assert not page.evaluate("document.getElementById('still').hidden")
        assert page.evaluate("document.getElementById('live').hidden")


def test_the_same_landscape_is_the_same_page() -> None:
    assert encode_page(BOWL, about(), b"png") == encode_page(BOWL, about(), b"png")
