"""From a grid of results to the bytes of a picture: a pure function.

The same grid and options give the same bytes, whatever was drawn before and whatever matplotlib
is configured to elsewhere in the process.
"""

from __future__ import annotations

import io
import math
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final, Literal

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.image import imsave

from service.domain.networks import sentences as own_sentences
from service.domain.printable import shown
from service.domain.questions.trajectory.result import Trajectory
from service.domain.results import GridResult
from service.figures.colorbar import metric_name
from service.figures.curve import Curve
from service.figures.drawing import Drawing
from service.figures.legend import Strip
from service.figures.options import FigureOptions
from service.figures.overlay import Named, Overlay
from service.figures.page import MARGIN, Page
from service.figures.shown import chosen
from service.figures.spectrum import map_sentences
from service.figures.theme import THEMES
from service.figures.trajectory import PathDrawing, axis_names, sentences
from service.figures.views import VIEWS, view_of
from service.figures.words import caption, network_names, overlay_caption, title

Format = Literal["png", "svg"]

#: matplotlib's settings are of the whole process, so one figure is drawn at a time.
_DRAWING: Final = threading.Lock()
_SETTINGS: Final[dict[Any, Any]] = {
    "svg.hashsalt": "lossatlas",
    "svg.fonttype": "path",
    "hatch.linewidth": 0.6,
    "font.family": "DejaVu Sans",
    "axes.formatter.useoffset": False,
}


@contextmanager
def alone() -> Iterator[None]:
    """One figure at a time, under our settings; the process's own come back afterwards."""
    with _DRAWING, mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_SETTINGS)
        yield


def render(result: GridResult, options: FigureOptions, file_format: Format = "png") -> bytes:
    """A picture of the grid.

    Args:
        result: finished or partial.
        options: what to show and how.
    Returns:
        PNG or SVG, `options.width` pixels wide; narrower, if it is to be plain.
    Raises:
        ValueError: the view does not fit the grid.
        KeyError: no such data set or metric.
    """
    with alone():
        page = compose(result, options)
        if file_format == "png" and options.plain:
            return _plain(page)
        return _png(page) if file_format == "png" else _svg(page)


def render_overlay(
    lines: Sequence[Named], options: FigureOptions, file_format: Format = "png"
) -> bytes:
    """A picture of several lines on one pair of axes.

    Args:
        lines: the landscapes, each with what the legend calls it.
        options: `metric`, `dataset`, `log`, `vmin`, `vmax`, `theme`, `width` apply.
    Returns:
        PNG or SVG, `options.width` pixels wide.
    Raises:
        ValueError: too many lines, or a result that is not a line.
        KeyError: no such data set or metric in one of them.
    """
    with alone():
        page = compose_overlay(lines, options)
        return _png(page) if file_format == "png" else _svg(page)


def compose(result: GridResult, options: FigureOptions) -> Page:
    """The page with everything in its place, not yet turned into bytes; call it under `alone`."""
    rule = VIEWS[view_of(options, result)]
    path = Trajectory.of(result)
    if path is not None:
        x_name, y_name = axis_names(path)
        options = replace(
            options, x_label=options.x_label or x_name, y_label=options.y_label or y_name
        )
    page = Page(options.width, THEMES[options.theme])
    datasets = chosen(result, options.dataset)
    if not rule.every_dataset:
        datasets = datasets[:1]
    shown_path = PathDrawing(page, path) if path is not None and options.trajectory else None
    drawing = rule.draw(page, result, options, datasets[0], shown_path)
    accuracy_too = isinstance(drawing, Curve) and drawing.right_axes is not None
    small = page.text_size
    heading = page.wrap(
        title(options, rule, accuracy_too, on_path=path is not None), small + 3, "bold"
    )
    notes = [line for note in drawing.notes for line in page.wrap(note, small)]
    below = page.wrap_items(caption(result, options, datasets, on_path=path is not None), small)
    said = [*options.caption.notes]
    if rule.what is None:
        names = network_names(options.caption)
        told = () if result.y is None else {mark.role for mark in options.caption.networks}
        said.extend(own_sentences(result, datasets, names, but=told))
    if path is not None and shown_path is not None:
        said.extend(sentences(path, result, datasets[0]))
    said.extend(map_sentences(result, options.metric))
    said.extend(rule.sentences(result))
    below += [line for note in said for line in page.wrap(note, small)]
    return _laid_out(page, heading, notes, drawing, below)


def compose_overlay(lines: Sequence[Named], options: FigureOptions) -> Page:
    """The page of several lines; call it under `alone`. Raises as `Overlay`."""
    page = Page(options.width, THEMES[options.theme])
    drawing = Overlay(page, lines, options)
    small = page.text_size
    words = options.title or f"{metric_name(options.metric).capitalize()} along several lines"
    heading = page.wrap(words, small + 3, "bold")
    notes = [line for note in drawing.notes for line in page.wrap(note, small)]
    below = page.wrap_items(overlay_caption(lines, options), small)
    below += [line for note in options.caption.notes for line in page.wrap(note, small)]
    return _laid_out(page, heading, notes, drawing, below)


def _laid_out(
    page: Page, heading: list[str], notes: list[str], drawing: Drawing, below: list[str]
) -> Page:
    """Head, plot, legend and caption, one under the other."""
    small = page.text_size
    strip = Strip(page, drawing.entries)
    head = (
        MARGIN + len(heading) * page.line_height(small + 3) + len(notes) * page.line_height(small)
    )
    plot = drawing.measure()
    foot = strip.height + 0.06 + len(below) * page.line_height(small) + MARGIN
    page.set_height(head + 0.08 + plot + 0.1 + foot)

    top = MARGIN + page.write(heading, MARGIN, small + 3, page.theme.ink, "bold")
    top += page.write(notes, top, small, page.theme.muted)
    drawing.place(top + 0.08)
    top += 0.08 + plot + 0.1
    strip.place(top)
    page.write(below, top + strip.height + 0.06, small, page.theme.muted)
    return page


def _png(page: Page) -> bytes:
    out = io.BytesIO()
    page.canvas.print_png(out, metadata={"Software": None})  # type: ignore[no-untyped-call]
    return out.getvalue()


def _plain(page: Page) -> bytes:
    """What lies within the frame of the plot, the first axes of every drawing."""
    page.canvas.draw()  # type: ignore[no-untyped-call]
    pixels = np.asarray(page.canvas.buffer_rgba())  # type: ignore[no-untyped-call]
    frame = page.figure.axes[0].get_window_extent()
    rows = slice(math.floor(len(pixels) - frame.y1) + 1, math.ceil(len(pixels) - frame.y0) - 1)
    columns = slice(math.floor(frame.x0) + 1, math.ceil(frame.x1) - 1)
    out = io.BytesIO()
    cut = np.ascontiguousarray(pixels[rows, columns])
    imsave(out, cut, format="png", metadata={"Software": None})  # type: ignore[dict-item]
    return out.getvalue()


def _svg(page: Page) -> bytes:
    out = io.BytesIO()
    # matplotlib writes SVG in points, whatever the resolution: the root is given its pixels
    canvas = FigureCanvasSVG(page.figure)
    canvas.print_svg(out, metadata={"Date": None, "Creator": None})  # type: ignore[no-untyped-call]
    # names stand in comments and descriptions
    text = shown(out.getvalue().decode(), breaks=True)
    size = f'width="{page.pixels}" height="{round(page.height * page.dpi)}"'
    return re.sub(r'width="[\d.]+pt" height="[\d.]+pt"', size, text, count=1).encode()
