"""A plane seen from above: contours, filled contours, or its cells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, Normalize, to_hex, to_rgb
from matplotlib.contour import QuadContourSet
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from numpy.typing import NDArray

from service.domain.cells import CellStatus
from service.domain.results import DatasetGrid, GridResult
from service.figures.colorbar import GAP, WIDTH, ColorBar, value_label
from service.figures.frame import axis_label, coordinate_ticks, dress
from service.figures.legend import Entry
from service.figures.networks import Marked, marked, place_sign, within
from service.figures.numbers import labels, number
from service.figures.options import FigureOptions, View
from service.figures.page import MARGIN, Page
from service.figures.scale import Scale, scale_of_metric
from service.figures.shown import WORDS, Shown, shown
from service.figures.trajectory import PathDrawing
from service.figures.view import Draw, ViewRule
from service.figures.voids import cell_edges, draw_voids

#: Beyond this ratio of the ranges the plane is stretched to stay readable.
_WIDEST_ASPECT: Final = 2.5
_TALLEST: Final = 0.92
#: More contour lines than this are drawn thinner.
_MANY_LINES: Final = 35


class Plane:
    """One metric of one data set over (α, β)."""

    def __init__(
        self,
        page: Page,
        shown: Shown,
        x: NDArray[np.float64],
        y: NDArray[np.float64],
        scale: Scale | None,
        options: FigureOptions,
        view: View,
        path: PathDrawing | None = None,
        networks: Sequence[Marked] = (),
    ) -> None:
        self.page, self.shown, self.x, self.y, self.scale = page, shown, x, y, scale
        self.networks = networks
        self.options, self.path = options, path
        self.view = view
        notes = list(scale.notes) if scale else ["No cell has a value."]
        if scale is not None:
            notes.extend(constant_note(shown, scale))
        reason = why_cells(shown, view)
        if reason is not None:
            self.view = View.HEATMAP
            notes.append(reason)
        self.lines: QuadContourSet | None = None
        self.levels: list[float] = []
        self.axes: Axes = page.figure.add_axes((0.1, 0.1, 0.7, 0.7), label="plane")
        dress(self.axes, page)
        self.axes.set_xlabel(axis_label(page, options.x_label or "α"))
        self.axes.set_ylabel(axis_label(page, options.y_label or "β"))
        self._entries = draw_voids(self.axes, shown, x, y, page.theme)
        self.bar: ColorBar | None = None
        if scale is not None:
            self._draw(scale)
        if path is not None:
            path.draw(self.axes)
            self._entries = [*path.entries, *self._entries]
        if options.samples:
            self._mark_evaluated()
        for mark in reversed(self.networks):
            if within(mark.place, x, y):
                sign = place_sign(page, mark.place.role)
                sign.set_data([mark.place.at[0]], [mark.place.at[1]])
                self.axes.add_line(sign)
            self._entries.insert(0, mark.entry)
        self._mark_center()
        self._limit()
        if not self._true_to_scale:
            notes.append("The two axes are not drawn to the same scale.")
        self._notes = notes

    @property
    def entries(self) -> list[Entry]:
        return self._entries

    @property
    def notes(self) -> tuple[str, ...]:
        return tuple(self._notes)

    def measure(self) -> float:
        """See `Drawing.measure`."""
        ratio = self._ratio()
        members = [self.axes] if self.bar is None else [self.axes, self.bar.axes]
        width = self.page.inner_width * 0.75
        left = right = above = below = 0.0
        for _ in range(3):
            height = width * ratio
            self._put(MARGIN + left, 0.3, width, height)
            left, right, above, below = self.page.overhangs(members)
            width = self.page.inner_width - left - right
            # a tall plane gives up width, so that the figure stays on one screen
            width = min(width, _TALLEST * self.page.inner_width / ratio)
        self.size = (width, width * ratio)
        spare = self.page.inner_width - left - right - width
        self.left = MARGIN + left + spare / 2
        self.above = above
        self._put(self.left, 0.3, *self.size)
        left, right, above, below = self.page.overhangs(members)
        self.above = above
        return above + self.size[1] + below

    def place(self, top: float) -> None:
        """See `Drawing.place`."""
        self._put(self.left, top + self.above, *self.size)
        if self.path is not None:
            self.path.arrows(self.axes)
        if self.lines is not None and self.scale is not None and not self.options.plain:
            self._label_lines(self.lines, self.levels, self.scale)

    def _put(self, left: float, top: float, width: float, height: float) -> None:
        self.page.place(self.axes, left, top, width, height)
        coordinate_ticks(self.axes.xaxis, width, self.x.tolist())
        coordinate_ticks(self.axes.yaxis, height, self.y.tolist())
        if self.bar is not None:
            self.page.place(self.bar.axes, left + width + GAP, top, WIDTH, height)
            self.bar.set_ticks(max(2, min(8, int(height / 0.35))))

    def _ratio(self) -> float:
        """Height of the frame by its width: true to scale unless far from square."""
        if self._true_to_scale:
            return self._true_ratio
        return 0.75 if self._true_ratio < 1 else 1.0

    @property
    def _true_ratio(self) -> float:
        x0, x1 = self.axes.get_xlim()
        y0, y1 = self.axes.get_ylim()
        return float((y1 - y0) / (x1 - x0))

    @property
    def _true_to_scale(self) -> bool:
        return 1 / _WIDEST_ASPECT <= self._true_ratio <= _WIDEST_ASPECT

    def _limit(self) -> None:
        if self.view is View.HEATMAP:
            x_edges, y_edges = cell_edges(self.x, self.y)
            self.axes.set_xlim(x_edges[0], x_edges[-1])
            self.axes.set_ylim(y_edges[0], y_edges[-1])
        else:
            self.axes.set_xlim(self.x[0], self.x[-1])
            self.axes.set_ylim(self.y[0], self.y[-1])

    def _draw(self, scale: Scale) -> None:
        theme = self.page.theme
        lines_only = self.view is View.CONTOUR and not scale.constant
        areas = theme.areas(diverging=scale.diverging)
        colors = theme.line_map if lines_only and not scale.diverging else areas
        if self.view is View.HEATMAP or scale.constant:
            self._cells(self.shown.values, scale, colors)
        else:
            # what no contour reaches is still shown: all of a cell beside a hole when areas are
            # filled, else cells that are no corner of a whole square
            covered = _covered(self.shown.values) & (self.view is View.CONTOUR)
            self._cells(np.where(covered, np.nan, self.shown.values), scale, colors)
            self._contours(scale)
        self.bar = ColorBar(self.page, scale, colors, self.shown.metric)
        if self.view is View.CONTOUR and self.lines is not None:
            self.bar.axes.hlines(
                self.levels,
                0,
                1,
                transform=self.bar.axes.get_yaxis_transform(),
                colors=theme.paper,
                linewidth=0.4,
            )

    def _cells(self, values: NDArray[np.float64], scale: Scale, colors: Colormap) -> None:
        if not np.isfinite(values).any():
            return
        x_edges, y_edges = cell_edges(self.x, self.y)
        low, high = scale.height(np.array([scale.low, scale.high]))
        self.axes.pcolorfast(
            x_edges,
            y_edges,
            np.ma.masked_invalid(scale.height(values)),
            cmap=colors,
            norm=Normalize(low, high),
            zorder=1,
        )

    def _contours(self, scale: Scale) -> None:
        levels = scale.ticks(self.options.levels)
        inside = levels[(levels > scale.low) & (levels < scale.high)]
        # on a logarithmic scale, lines between points are where the logarithm says
        values = np.ma.masked_invalid(scale.height(self.shown.values))
        low, high = scale.height(np.array([scale.low, scale.high]))
        norm = Normalize(low, high)
        theme = self.page.theme
        areas = theme.areas(diverging=scale.diverging)
        if not _covered(self.shown.values).any():
            return
        if self.view is View.FILLED:
            # the ends a hair outside, so that the extremes themselves are filled
            hair = 1e-9 * (high - low)
            bands = np.concatenate([[low - hair], scale.height(inside), [high + hair]])
            fill = self.axes.contourf(
                self.x, self.y, values, levels=bands, cmap=areas, norm=norm, zorder=1.2
            )
            fill.set_edgecolor("face")
            fill.set_linewidth(0.2)
        if not len(inside):
            return
        only = self.view is View.CONTOUR
        self.levels = inside.tolist()
        self.lines = self.axes.contour(
            self.x,
            self.y,
            values,
            levels=scale.height(inside),
            cmap=(areas if scale.diverging else theme.line_map) if only else None,
            norm=norm,
            colors=None if only else "white",
            linewidths=(1.1 if only else 0.5) * (1.0 if len(inside) <= _MANY_LINES else 0.55),
            linestyles="solid",
            alpha=1.0 if only else 0.65,
            zorder=2,
        )

    def _label_lines(self, lines: QuadContourSet, levels: list[float], scale: Scale) -> None:
        """Labels that keep clear of each other, of the frame, the centre and a path."""
        theme = self.page.theme
        names = labels(levels, percent=self._percent)
        drawn = np.asarray(lines.levels)
        low, high = scale.height(np.array([scale.low, scale.high]))
        only = self.view is View.CONTOUR
        found: list[Text] = lines.clabel(
            inline=False,
            fontsize=self.page.text_size - 1.5,
            fmt=lambda level: names[int(np.argmin(np.abs(drawn - level)))],
            colors=theme.ink if only else "white",
            zorder=3,
        )
        frame = self.axes.get_window_extent()
        shown = [mark.place for mark in self.networks if within(mark.place, self.x, self.y)]
        kept = [self._box_at(place.at) for place in shown]
        if self._center_shown():
            kept.append(self._box_at((0.0, 0.0)))
        if self.path is not None:
            kept.extend(self.path.boxes(self.axes))
        for text in found:
            text.set_parse_math(False)
            ground = theme.paper
            if not only:
                shade = drawn[names.index(text.get_text())]
                areas = theme.areas(diverging=scale.diverging)
                ground = to_hex(areas((shade - low) / (high - low)))
                text.set_color("white" if _dark(ground) else "black")
            text.set_path_effects([patheffects.withStroke(linewidth=2.4, foreground=ground)])
            box = text.get_window_extent(self.page.renderer).padded(self.page.dpi * 0.02)
            inside = frame.x0 < box.x0 and box.x1 < frame.x1
            inside = inside and frame.y0 < box.y0 and box.y1 < frame.y1
            if not inside or any(box.overlaps(other) for other in kept):
                text.remove()
            else:
                kept.append(box)

    @property
    def _percent(self) -> bool:
        return self.shown.metric == "accuracy"

    def _box_at(self, at: tuple[float, float]) -> Bbox:
        x, y = self.axes.transData.transform(at)
        reach = self.page.dpi * 0.07
        return Bbox.from_extents(x - reach, y - reach, x + reach, y + reach)

    def _center_shown(self) -> bool:
        return bool(self.x[0] <= 0 <= self.x[-1] and self.y[0] <= 0 <= self.y[-1])

    def _mark_evaluated(self) -> None:
        """A dot on each cell whose value was computed and not interpolated."""
        if self.shown.interpolated is None:
            return
        rows, columns = np.nonzero(~self.shown.interpolated)
        dots = evaluated_sign(self.page)
        dots.set_data(self.x[columns], self.y[rows])
        self.axes.add_line(dots)
        self._entries.append(Entry(evaluated_sign(self.page), "evaluated cell"))

    def _mark_center(self) -> None:
        if not self._center_shown():
            return
        sign = center_sign(self.page)
        sign.set_data([0.0], [0.0])
        self.axes.add_line(sign)
        name = center_name(self.options) if self.path is None else self.path.end
        meaning = center_meaning(self.shown, name)
        self._entries.insert(0, Entry(center_sign(self.page), meaning))


def constant_note(shown: Shown, scale: Scale) -> list[str]:
    """Says that all values are equal, where there are several."""
    known = shown.values[np.isfinite(shown.values)]
    if not scale.constant or len(known) < 2:
        return []
    where = "at every cell" if len(known) == shown.values.size else "wherever there is a value"
    return [f"Constant: {shown.metric} = {number(float(known[0]), 6)} {where}."]


def why_cells(shown: Shown, view: View) -> str | None:
    """Why this view would mislead, so that the cells are drawn instead; None if it would not."""
    if view is View.HEATMAP:
        return None
    if min(shown.values.shape) < 2:
        return "The cells themselves are drawn: there are not two points along each axis."
    if (shown.status == CellStatus.PENDING).any():
        return "The cells themselves are drawn while some are pending."
    return None


def center_sign(page: Page) -> Line2D:
    """A disc that stands out on any colour."""
    return Line2D(
        [],
        [],
        linestyle="none",
        marker="o",
        markersize=6,
        markerfacecolor="white",
        markeredgecolor="black",
        markeredgewidth=1.2,
        zorder=4,
        label="centre",
    )


def evaluated_sign(page: Page) -> Line2D:
    """A small dot that reads on light and dark colours."""
    return Line2D(
        [],
        [],
        linestyle="none",
        marker="o",
        markersize=2.2,
        markerfacecolor=page.theme.ink,
        markeredgecolor=page.theme.paper,
        markeredgewidth=0.4,
        zorder=3.5,
        label="evaluated cells",
    )


def center_name(options: FigureOptions) -> str:
    """What lies at the centre of a plane: `centre: the trained network`, or its own name."""
    return f"centre: {options.caption.origin or 'the trained network'}"


def center_meaning(shown: Shown, name: str) -> str:
    """`centre: the trained network, loss 0.0312`: what lies there with its value."""
    if not len(shown.anchors):
        return name
    value, status = float(shown.anchors[0]), CellStatus(int(shown.anchor_status[0]))
    if not np.isfinite(value):
        return f"{name}, {shown.metric} {WORDS[status]}"
    text = f"{100 * value:.2f}%" if shown.metric == "accuracy" else number(value, 4)
    return f"{name}, {value_label(shown.metric, log=False)} {text}"


def _dark(color: str) -> bool:
    """Whether white reads better on it than black (relative luminance, WCAG)."""
    parts = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(color)]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2] < 0.179


def _covered(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Cells that are a corner of a square whose four corners all have values."""
    known = np.isfinite(values)
    full = known[1:, 1:] & known[1:, :-1] & known[:-1, 1:] & known[:-1, :-1]
    covered = np.zeros(values.shape, dtype=bool)
    for dy in (0, 1):
        for dx in (0, 1):
            covered[dy : dy + full.shape[0], dx : dx + full.shape[1]] |= full
    return covered


def drawing(view: View) -> Draw:
    """Draws a plane so, or its cells where that would mislead."""

    def draw(
        page: Page,
        result: GridResult,
        options: FigureOptions,
        grid: DatasetGrid,
        path: PathDrawing | None,
    ) -> Plane:
        if result.y is None:
            raise ValueError("a line is no plane")
        values = shown(grid, options.metric)
        scale = scale_of_metric(values.values, options)
        networks = marked(page, options.caption.networks, result, values)
        return Plane(page, values, result.x, result.y, scale, options, view, path, networks)

    return draw


def is_plane(result: GridResult) -> bool:
    """Whether the grid has two axes."""
    return result.y is not None


CONTOUR, FILLED, HEATMAP = (
    ViewRule(view, label=label, where="around {}", fits=is_plane, draw=drawing(view))
    for view, label in (
        (View.CONTOUR, "Contours"),
        (View.FILLED, "Filled"),
        (View.HEATMAP, "Heat map"),
    )
)
