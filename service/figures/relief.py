"""A plane as a surface in three dimensions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
from matplotlib.artist import Artist
from matplotlib.colors import Normalize
from matplotlib.ticker import FixedFormatter, FixedLocator
from matplotlib.transforms import Bbox
from mpl_toolkits.mplot3d.art3d import Poly3DCollection
from mpl_toolkits.mplot3d.axes3d import Axes3D
from numpy.typing import NDArray

from service.domain.results import DatasetGrid, GridResult
from service.figures.colorbar import GAP, WIDTH, ColorBar, value_label
from service.figures.drawing import Drawing
from service.figures.frame import axis_label, coordinate_ticks
from service.figures.legend import Entry, void_entry, void_look
from service.figures.networks import Marked, marked, place_sign, value_there
from service.figures.numbers import labels
from service.figures.options import FigureOptions, View
from service.figures.page import MARGIN, Page
from service.figures.plane import (
    center_meaning,
    center_name,
    center_sign,
    constant_note,
    drawing,
    is_plane,
    why_cells,
)
from service.figures.scale import Scale, scale_of_metric
from service.figures.shown import Shown, shown
from service.figures.trajectory import PathDrawing, heights_of
from service.figures.view import ViewRule
from service.figures.voids import cell_edges

_ELEVATION: Final = 32
_AZIMUTH: Final = -58
#: How much of a number's width points away from each axis in this view.
_SIDEWAYS: Final = (0.6, 0.8, 1.0)
#: More squares a side than this are drawn every second, third… point.
_MOST_POINTS: Final = 121


class Relief:
    """One metric of one data set over (α, β), at least two points along each axis."""

    def __init__(
        self,
        page: Page,
        shown: Shown,
        x: NDArray[np.float64],
        y: NDArray[np.float64],
        scale: Scale,
        options: FigureOptions,
        path: PathDrawing | None = None,
        networks: Sequence[Marked] = (),
    ) -> None:
        self.page, self.shown, self.scale, self.options = page, shown, scale, options
        self.networks = networks
        self.path = path
        self.x, self.y = x, y
        self._notes = [*scale.notes, *constant_note(shown, scale)]
        self._entries: list[Entry] = []
        self.axes: Axes3D = page.figure.add_axes(
            (0.0, 0.1, 0.8, 0.8), projection="3d", label="surface", computed_zorder=False
        )
        self.bar = ColorBar(page, scale, page.theme.areas(diverging=scale.diverging), shown.metric)
        self._dress()
        self._surface()
        self._floor()
        if path is not None:
            path.lift(self.axes, x, y, heights_of(shown.values, scale))
            self._entries = [*path.entries, *self._entries]
        for mark in reversed(self.networks):
            self._mark(mark)
        self._mark_center()

    @property
    def entries(self) -> list[Entry]:
        return self._entries

    @property
    def notes(self) -> tuple[str, ...]:
        return tuple(self._notes)

    def measure(self) -> float:
        """See `Drawing.measure`."""
        self._put(0.3, self.page.inner_width, 1.0)
        bar = self.page.box([self.bar.axes])
        self.bar_width = bar.width + GAP
        self.width = self.page.inner_width - self.bar_width
        # a first look, at a zoom that shows everything, tells how large the drawing really is
        side = self.width
        self._put(0.3, side, 1.0)
        box = self._extent()
        zoom = 0.985 * self.width / box.width
        self.zoom = zoom
        self.height = box.height * zoom + 0.1
        self.side = side
        return self.height

    def place(self, top: float) -> None:
        """See `Drawing.place`."""
        for _ in range(3):
            self._put(top, self.side, self.zoom)
            box = self._extent()
            self.zoom *= min(1.0, 0.985 * self.width / box.width, 0.97 * self.height / box.height)
            if box.width <= self.width and box.height <= self.height:
                break
        self._put(top, self.side, self.zoom)
        box = self._extent()
        x = MARGIN + (self.width - box.width) / 2 - box.x0
        middle = self.page.height - (box.y0 + box.y1) / 2
        self.shift = (x, top + self.height / 2 - middle)
        self._put(top, self.side, self.zoom, self.shift)

    def _put(
        self, top: float, side: float, zoom: float, shift: tuple[float, float] = (0.0, 0.0)
    ) -> None:
        self.page.place(self.axes, MARGIN + shift[0], top + shift[1], side, side)
        self.axes.set_box_aspect((1, self._depth(), 0.72), zoom=zoom)
        height = getattr(self, "height", side * 0.8)
        bar_left = self.page.width - MARGIN - getattr(self, "bar_width", 0.9) + GAP
        inset = 0.14 * height
        self.page.place(self.bar.axes, bar_left, top + inset, WIDTH, height - 2 * inset)
        self.bar.set_ticks(max(2, min(8, int(height / 0.5))))

    def _depth(self) -> float:
        ratio = float((self.y[-1] - self.y[0]) / (self.x[-1] - self.x[0]))
        return min(1.6, max(0.6, ratio))

    def _extent(self) -> Bbox:
        return self.page.box([*self._texts(), *self._panes()])

    def _texts(self) -> Iterator[Artist]:
        self.axes.apply_aspect()
        self.page.figure.draw_without_rendering()
        for axis in (self.axes.xaxis, self.axes.yaxis, self.axes.zaxis):
            yield axis.label
            for tick in axis.get_major_ticks():
                yield tick.label1

    def _panes(self) -> Iterator[Artist]:
        for axis in (self.axes.xaxis, self.axes.yaxis, self.axes.zaxis):
            yield axis.pane

    def _dress(self) -> None:
        page, theme, axes = self.page, self.page.theme, self.axes
        axes.set_facecolor("none")
        axes.view_init(elev=_ELEVATION, azim=_AZIMUTH)
        axes.set_xlim(self.x[0], self.x[-1])
        axes.set_ylim(self.y[0], self.y[-1])
        low, high = self.scale.height(np.array([self.scale.low, self.scale.high]))
        axes.set_zlim(low, high)
        names = [
            axis_label(page, name)
            for name in (
                self.options.x_label or "α",
                self.options.y_label or "β",
                value_label(self.shown.metric, log=self.scale.log),
            )
        ]
        for axis, name in zip((axes.xaxis, axes.yaxis, axes.zaxis), names, strict=True):
            axis.label.set_parse_math(False)
            axis.set_label_text(name, color=theme.ink, fontsize=page.text_size + 0.5)
            axis.set_tick_params(
                labelsize=page.text_size - 0.5, labelcolor=theme.ink, color=theme.muted, pad=0
            )
            axis.set_pane_color(theme.void)
            axis.line.set_color(theme.muted)
            axis._axinfo["grid"].update(color=theme.rule, linewidth=0.6)
            axis._axinfo["tick"].update(color=theme.muted)
        coordinate_ticks(axes.xaxis, 2.5, self.x.tolist())
        coordinate_ticks(axes.yaxis, 2.5, self.y.tolist())
        ticks = self.scale.ticks(6)
        axes.zaxis.set_major_locator(FixedLocator(self.scale.height(ticks).tolist()))
        percent = self.shown.metric == "accuracy"
        axes.zaxis.set_major_formatter(FixedFormatter(labels(ticks.tolist(), percent=percent)))
        for axis, sideways in zip((axes.xaxis, axes.yaxis, axes.zaxis), _SIDEWAYS, strict=True):
            # text is centred on its place: longer numbers stand further off, and the name with them
            reach = sideways * self._longest(axis) / 2
            axis.set_tick_params(pad=max(0.0, reach - 4))
            axis.labelpad = 2 + max(0.0, 2 * reach - 10)

    def _longest(self, axis: Any) -> float:
        """Points that the longest number along the axis takes."""
        numbers = axis.get_major_formatter().format_ticks(axis.get_majorticklocs())
        size = self.page.text_size - 0.5
        return 72 * max((self.page.text_width(n, size) for n in numbers), default=0.0)

    def _surface(self) -> None:
        step = max(1, -(-max(self.shown.values.shape) // _MOST_POINTS))
        rows, columns = _every(len(self.y), step), _every(len(self.x), step)
        if step > 1:
            self._notes.append(f"Every {step}th point along each axis is drawn.")
        heights = self.scale.height(self.shown.values)[np.ix_(rows, columns)]
        x, y = np.meshgrid(self.x[columns], self.y[rows])
        corners = np.stack([x, y, heights], axis=-1)
        squares = np.stack(
            [corners[:-1, :-1], corners[:-1, 1:], corners[1:, 1:], corners[1:, :-1]], axis=2
        ).reshape(-1, 4, 3)
        squares = squares[np.isfinite(squares).all(axis=(1, 2))]
        low, high = self.scale.height(np.array([self.scale.low, self.scale.high]))
        areas = self.page.theme.areas(diverging=self.scale.diverging)
        color = areas(Normalize(low, high)(squares[:, :, 2].mean(axis=1)))
        if len(squares):
            dense = max(heights.shape) > 60
            self.axes.add_collection3d(
                Poly3DCollection(
                    squares,
                    facecolors=color,
                    edgecolors=color if dense else "#00000055",
                    linewidths=0.2 if dense else 0.3,
                    zorder=3,
                    label="relief",
                )
            )

    def _floor(self) -> None:
        """Cells without a value, on the floor below the holes that they leave."""
        x_edges, y_edges = cell_edges(self.x, self.y)
        x_edges = np.clip(x_edges, self.x[0], self.x[-1])
        y_edges = np.clip(y_edges, self.y[0], self.y[-1])
        floor = float(self.scale.height(np.array([self.scale.low]))[0])
        for code, mask in self.shown.missing_by_status().items():
            iy, ix = np.nonzero(mask)
            corners = [
                np.stack([xs, ys, np.full(len(ix), floor)], axis=1)
                for xs, ys in (
                    (x_edges[ix], y_edges[iy]),
                    (x_edges[ix + 1], y_edges[iy]),
                    (x_edges[ix + 1], y_edges[iy + 1]),
                    (x_edges[ix], y_edges[iy + 1]),
                )
            ]
            look = void_look(code, self.page.theme)
            tiles = Poly3DCollection(
                np.stack(corners, axis=1),
                facecolors=look["facecolor"],
                edgecolors=look["edgecolor"],
                linewidths=0,
                zorder=2,
                label=f"status {code.word}",
            )
            tiles.set_hatch(look.get("hatch"))
            self.axes.add_collection3d(tiles)
            self._entries.append(void_entry(code, int(mask.sum()), self.page.theme))

    def _mark(self, mark: Marked) -> None:
        """A network on the surface, with a thin line up to where it is seen."""
        self._entries.insert(0, mark.entry)
        value = value_there(mark.place, self.x, self.y, self.shown)
        if not np.isfinite(value):
            return
        (a, b), ink = mark.place.at, self.page.theme.ink
        at, top = self.scale.height(np.array([value, self.scale.high])).tolist()
        self.axes.plot([a, a], [b, b], [at, top], color=ink, linewidth=0.8, linestyle=":", zorder=4)
        sign = place_sign(self.page, mark.place.role)
        self.axes.plot(
            [a],
            [b],
            [at],
            linestyle="none",
            marker=sign.get_marker(),
            markersize=5.5,
            markerfacecolor="white",
            markeredgecolor="black",
            markeredgewidth=1.2,
            zorder=5,
            label=sign.get_label(),
        )

    def _mark_center(self) -> None:
        within = self.x[0] <= 0 <= self.x[-1] and self.y[0] <= 0 <= self.y[-1]
        if not within or not len(self.shown.anchors) or not np.isfinite(self.shown.anchors[0]):
            return
        at = float(self.scale.height(self.shown.anchors[:1])[0])
        top = float(self.scale.height(np.array([self.scale.high]))[0])
        ink = self.page.theme.ink
        self.axes.plot([0, 0], [0, 0], [at, top], color=ink, linewidth=0.8, linestyle=":", zorder=4)
        sign = center_sign(self.page)
        self.axes.plot(
            [0],
            [0],
            [at],
            linestyle="none",
            marker="o",
            markersize=5,
            markerfacecolor="white",
            markeredgecolor="black",
            markeredgewidth=1.2,
            zorder=5,
            label="centre",
        )
        self._entries.insert(
            0,
            Entry(
                sign,
                center_meaning(
                    self.shown,
                    center_name(self.options) if self.path is None else self.path.end,
                ),
            ),
        )


def _every(count: int, step: int) -> NDArray[np.int64]:
    """Indices 0, step, 2·step… and always the last."""
    return np.unique(np.append(np.arange(0, count, step), count - 1))


def _draw(
    page: Page,
    result: GridResult,
    options: FigureOptions,
    grid: DatasetGrid,
    path: PathDrawing | None,
) -> Drawing:
    values = shown(grid, options.metric)
    scale = scale_of_metric(values.values, options)
    if result.y is None or scale is None or why_cells(values, View.SURFACE) is not None:
        return drawing(View.SURFACE)(page, result, options, grid, path)
    networks = marked(page, options.caption.networks, result, values)
    return Relief(page, values, result.x, result.y, scale, options, path, networks)


SURFACE: Final = ViewRule(
    View.SURFACE, label="Relief", where="around {}", fits=is_plane, draw=_draw, many_faces=True
)
