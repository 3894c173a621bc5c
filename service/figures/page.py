"""The page: a figure of fixed width whose height follows from what is on it.

Owns the canvas, sizes of type, and text that is measured before it is set, so that nothing
overlaps or is cut. Lengths are inches, positions are from the top left. Knows nothing of values.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.transforms import Bbox

from service.figures.theme import Theme

#: A figure is laid out this wide at most; wider ones are the same drawing in more pixels.
_WIDEST_INCHES: Final = 7.2
_NARROWEST_INCHES: Final = 2.7
_PIXELS_PER_INCH: Final = 125

#: A name too long for a line is broken after one of these.
_SEAMS: Final = tuple("-_/.:,;")

MARGIN: Final = 0.12
LINE_SPACING: Final = 1.35
_POINTS: Final = 72.0
# matplotlib floors the size in pixels; this keeps 1000 from becoming 999
_EPSILON: Final = 0.01


class Page:
    """A blank figure, `width` pixels wide."""

    def __init__(self, width: int, theme: Theme) -> None:
        self.theme = theme
        self.pixels = width
        self.width = min(_WIDEST_INCHES, max(_NARROWEST_INCHES, width / _PIXELS_PER_INCH))
        self.height = self.width
        self.dpi = width / self.width
        self.text_size = 8.5 if self.width > 5 else 7.5
        self.figure = Figure(dpi=self.dpi, facecolor=theme.paper)
        self.canvas = FigureCanvasAgg(self.figure)
        self.set_height(self.height)

    @property
    def renderer(self) -> RendererAgg:
        """Measures; draws nothing by itself."""
        renderer: RendererAgg = self.canvas.get_renderer()  # type: ignore[no-untyped-call]
        return renderer

    @property
    def inner_width(self) -> float:
        return self.width - 2 * MARGIN

    def set_height(self, height: float) -> None:
        """Changes the height to whole pixels; everything must be placed again."""
        self.height = max(1, round(height * self.dpi)) / self.dpi
        slack = _EPSILON / self.dpi
        self.figure.set_size_inches(self.width + slack, self.height + slack)

    def place(self, axes: Axes, left: float, top: float, width: float, height: float) -> None:
        """Puts the axes' frame there."""
        axes.set_position(
            (
                left / self.width,
                1 - (top + height) / self.height,
                width / self.width,
                height / self.height,
            )
        )

    def overhangs(self, axes: Sequence[Axes]) -> tuple[float, float, float, float]:
        """How far axes and their labels reach out of the first one's frame, in inches: to the left,
        to the right, above (none where they end below its edge), below.
        """
        frame = Bbox(axes[0].get_window_extent().get_points() / self.dpi)
        box = self.box(axes)
        return frame.x0 - box.x0, box.x1 - frame.x1, max(0.0, box.y1 - frame.y1), frame.y0 - box.y0

    def box(self, artists: Iterable[Artist]) -> Bbox:
        """What the artists cover: inches from the left and *bottom*."""
        boxes = [artist.get_tightbbox(self.renderer) for artist in artists]
        found = [b for b in boxes if b is not None and b.width > 0 and b.height > 0]
        union = Bbox.union(found)
        return Bbox(union.get_points() / self.dpi)

    def text_width(self, text: str, size: float, weight: str = "normal") -> float:
        """Inches that a line of text takes."""
        font = FontProperties(size=size, weight=weight)
        renderer: Any = self.renderer
        width, _, _ = renderer.get_text_width_height_descent(text, font, ismath=False)
        return float(width / self.dpi)

    def line_height(self, size: float) -> float:
        return size * LINE_SPACING / _POINTS

    def write(
        self, lines: Sequence[str], top: float, size: float, color: str, weight: str = "normal"
    ) -> float:
        """Sets lines below each other from the left margin; returns the height they take."""
        step = self.line_height(size)
        for k, line in enumerate(lines):
            self.figure.text(
                MARGIN / self.width,
                1 - (top + k * step) / self.height,
                line,
                fontsize=size,
                color=color,
                weight=weight,
                va="top",
                ha="left",
                parse_math=False,
            )
        return len(lines) * step

    def wrap(
        self, text: str, size: float, weight: str = "normal", width: float | None = None
    ) -> list[str]:
        """Lines no wider than the page, or `width`.

        Breaks at spaces (not at no-break ones), and within a word that is too wide.
        """
        width = self.inner_width if width is None else width
        lines: list[str] = []
        for word in re.split(r"[ \t\r\n]+", text.strip()):
            joined = f"{lines[-1]} {word}" if lines else word
            if lines and self.text_width(joined, size, weight) <= width:
                lines[-1] = joined
                continue
            lines.extend(self._pieces(word, size, weight, width))
        return lines

    def wrap_items(self, items: Sequence[str], size: float) -> list[str]:
        """As `wrap`, breaking between items where that is possible."""
        lines: list[str] = []
        for item in items:
            joined = f"{lines[-1]}   ·   {item}" if lines else item
            if lines and self.text_width(joined, size) <= self.inner_width:
                lines[-1] = joined
            else:
                lines.extend(self.wrap(item, size))
        return lines

    def elide(self, text: str, size: float, limit: float) -> str:
        """The text, its middle left out when it is wider than `limit`."""
        text = " ".join(text.split())
        if self.text_width(text, size) <= limit:
            return text
        keep = len(text) - 1
        while keep > 2:
            short = f"{text[: (keep + 1) // 2]}…{text[len(text) - keep // 2 :]}"
            if self.text_width(short, size) <= limit:
                return short
            keep -= 1
        return text[:1] + "…"

    def _pieces(self, word: str, size: float, weight: str, width: float) -> list[str]:
        """The word in pieces no wider than that, cut after punctuation where there is some."""
        pieces = []
        while self.text_width(word, size, weight) > width and len(word) > 1:
            fits = 1
            while self.text_width(word[: fits + 1], size, weight) <= width:
                fits += 1
            seams = [k for k in range(fits // 2, fits + 1) if word[k - 1 : k] in _SEAMS]
            cut = seams[-1] if seams else fits
            pieces.append(word[:cut])
            word = word[cut:]
        return [*pieces, word]
