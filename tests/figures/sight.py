"""What can be seen of a figure: its artists, its words with their boxes, its pixels."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import matplotlib.image
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.path import Path
from matplotlib.text import Text
from matplotlib.transforms import Affine2D, Bbox
from numpy.typing import NDArray

from service.figures.page import Page
from service.figures.render import alone, compose
from tests.figures.cases import Case

Kind = TypeVar("Kind", bound=Artist)


@dataclass(frozen=True)
class Words:
    """A text where it stands: the upright box around it, and its own size before it was turned."""

    text: str
    box: Bbox
    width: float
    height: float
    turn: float

    def outline(self, inset: float) -> Path:
        """The turned rectangle, a little smaller: glyphs do not fill theirs to the last pixel."""
        w, h = max(1.0, self.width / 2 - inset), max(1.0, self.height / 2 - inset)
        corners = np.array([(-w, -h), (w, -h), (w, h), (-w, h), (-w, -h)])
        middle = (self.box.p0 + self.box.p1) / 2
        return Path(Affine2D().rotate_deg(self.turn).translate(*middle).transform(corners))


@dataclass(frozen=True)
class Sight:
    """A composed and drawn page."""

    page: Page
    pixels: NDArray[np.uint8]

    def axes(self, label: str) -> Axes:
        """The axes of that role."""
        found = [a for a in self.page.figure.axes if a.get_label() == label]
        assert len(found) == 1, f"{len(found)} axes {label!r}"
        return found[0]

    def labelled(self, label: str, kind: type[Kind]) -> list[Kind]:
        """All artists of that role."""
        found = self.page.figure.findobj(kind)
        return [a for a in found if isinstance(a, kind) and str(a.get_label()) == label]

    def words(self) -> list[Words]:
        """Every visible text and the box it covers, in pixels from the bottom left."""
        renderer = self.page.renderer
        found = []
        for text in self.page.figure.findobj(Text):
            assert isinstance(text, Text)
            if text.get_visible() and text.get_text().strip():
                box = text.get_window_extent(renderer)
                turn, mode = text.get_rotation(), text.get_transform_rotates_text()
                text.set_rotation(0)
                flat = text.get_window_extent(renderer)
                text.set_rotation(turn)
                assert not mode or turn == 0
                found.append(Words(text.get_text(), box, flat.width, flat.height, turn))
        return found

    def points(self, line: Line2D) -> NDArray[np.float64]:
        """A line's points, shape (n, 2)."""
        xy: NDArray[np.float64] = np.column_stack([line.get_xdata(), line.get_ydata()])
        return xy

    @property
    def prose(self) -> str:
        """Title, notes and caption."""
        return " ".join(text.get_text() for text in self.page.figure.texts)

    @property
    def legend(self) -> list[str]:
        """What the signs below the plot mean."""
        return [t.get_text() for legend in self.page.figure.legends for t in legend.get_texts()]

    def pixel(self, axes: Axes, x: float, y: float) -> NDArray[np.uint8]:
        """The colour at a point of the data."""
        column, row = axes.transData.transform((x, y))
        return self.pixels[self.pixels.shape[0] - 1 - int(row), int(column), :3]


def look(case: Case) -> Sight:
    """Draws the case as `render` does."""
    return look_at_page(lambda: compose(case.grid, case.options))


def look_at_page(compose_page: Callable[[], Page]) -> Sight:
    """As `look`, of a page that is composed otherwise."""
    with alone():
        page = compose_page()
        page.canvas.draw()  # type: ignore[no-untyped-call]
        raw = page.canvas.buffer_rgba()  # type: ignore[no-untyped-call]
    return Sight(page, np.array(raw, dtype=np.uint8))


def decoded(png: bytes) -> NDArray[np.float64]:
    """The picture's pixels, shape (height, width, 4), from 0 to 1."""
    picture: NDArray[np.float64] = matplotlib.image.imread(io.BytesIO(png), format="png")
    return picture
