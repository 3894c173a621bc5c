"""A line through weight space: loss on the left, accuracy on the right, as in Li et al., fig. 2.

Several lines from one point are drawn thin, with their mean and the band of one standard deviation
about it.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray

from service.domain.cells import CellStatus
from service.domain.questions.curvature.result import is_point
from service.domain.questions.line.result import Lines
from service.domain.results import GridResult
from service.figures.colorbar import value_label
from service.figures.fitting import fit
from service.figures.frame import axis_label, coordinate_ticks, dress, value_ticks
from service.figures.legend import Entry, void_entry, void_look
from service.figures.networks import OWN, draw_own, finite, own_sign, own_values
from service.figures.options import FigureOptions, View
from service.figures.page import Page
from service.figures.scale import Scale, scale_of
from service.figures.shown import Shown, chosen, counts, shown
from service.figures.view import ViewRule
from service.figures.voids import edges

#: Data sets in order: train solid, test dashed.
DASHES: Final[tuple[Any, ...]] = (
    "-",
    "--",
    ":",
    "-.",
    (0, (6, 1, 1, 1, 1, 1)),
    (0, (8, 2)),
    (0, (1, 3)),
    (0, (4, 4)),
)
#: More data sets than this are told apart by shade as well as by dashes.
_PLAIN_SETS: Final = 3
HEIGHT: Final = 0.56
#: Metrics of which every direction's own values are known.
_EACH: Final = frozenset({"loss", "accuracy"})


class Curve:
    """All data sets of a line, or one of them."""

    def __init__(self, page: Page, result: GridResult, options: FigureOptions) -> None:
        self.page, self.result, self.options = page, result, options
        self.x = result.x
        self.lines = Lines.of(result)
        grids = chosen(result, options.dataset)
        self._entries: list[Entry] = []
        self._notes: list[str] = []
        self._told_apart = False
        self.left_axes: Axes = page.figure.add_axes((0.1, 0.1, 0.8, 0.8), label="left")
        dress(self.left_axes, page)
        self.right_axes: Axes | None = None
        left = [shown(grid, options.metric) for grid in grids]
        self.left_scale = self._plot(self.left_axes, left, page.theme.series[0], options)
        right: list[Shown] = []
        if options.metric == "loss":
            right = [shown(grid, "accuracy") for grid in grids if grid.accuracy is not None]
        self.right_scale: Scale | None = None
        if right:
            self.right_axes = self.left_axes.twinx()
            self.right_axes.set_label("right")
            dress(self.right_axes, page)
            self.right_axes.set_facecolor("none")
            plain = FigureOptions(metric="accuracy", log=False, vmin=0.0, vmax=1.0)
            self.right_scale = self._plot(self.right_axes, right, page.theme.series[1], plain)
        self._mark_ends()
        self._mark_voids([*left, *right])
        unit = float(self.x[1] - self.x[0]) if len(self.x) > 1 else 1.0
        borders = edges(self.x, unit) if len(self.x) == 1 else self.x
        self.left_axes.set_xlim(borders[0], borders[-1])
        centre = options.caption.origin or "the trained network"
        self.left_axes.set_xlabel(
            "α   (0: origin, 1: target)"
            if self.lines is None
            else axis_label(page, f"α   (0: {centre})")
        )
        self.left_axes.grid(axis="y", color=page.theme.rule, linewidth=0.6, zorder=0)
        self.left_axes.set_axisbelow(True)

    @property
    def entries(self) -> list[Entry]:
        return self._entries

    @property
    def notes(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(self._notes))

    def measure(self) -> float:
        """See `Drawing.measure`."""
        axes = [a for a in (self.left_axes, self.right_axes) if a is not None]
        height = self.page.inner_width * HEIGHT
        self.fit = fit(self.page, axes, self._put, share=0.8, height=height)
        return self.fit.total

    def place(self, top: float) -> None:
        """See `Drawing.place`."""
        self._put(self.fit.left, top + self.fit.above, self.fit.width, self.fit.height)

    def _put(self, left: float, top: float, width: float, height: float) -> None:
        count = max(3, min(8, int(height / 0.35)))
        for axes, scale in ((self.left_axes, self.left_scale), (self.right_axes, self.right_scale)):
            if axes is None:
                continue
            self.page.place(axes, left, top, width, height)
            if scale is None:
                axes.set_yticks([])
            else:
                value_ticks(axes.yaxis, scale, count, percent=_is_accuracy(axes, self.options))
        coordinate_ticks(self.left_axes.xaxis, width, self.x.tolist())

    def _plot(
        self, axes: Axes, items: list[Shown], base: str, options: FigureOptions
    ) -> Scale | None:
        each = [self._each(item) for item in items]
        values = np.concatenate(
            [
                np.concatenate([i.values, i.anchors, e.ravel(), finite(own_values(self.result, i))])
                for i, e in zip(items, each, strict=True)
            ]
        )
        scale = scale_of(values, options)
        metric = items[0].metric
        name = axis_label(self.page, value_label(metric, log=bool(scale and scale.log)))
        axes.set_ylabel(name, color=base)
        axes.tick_params(axis="y", labelcolor=base)
        if scale is None:
            self._notes.append(f"No point has a value of {metric}.")
            return None
        self._notes.extend(scale.notes)
        if scale.log:
            axes.set_yscale("log")
        axes.set_ylim(*with_room(scale))
        for k, item in enumerate(items):
            dash = DASHES[k % len(DASHES)]
            color = self._shade(base, k if len(items) > _PLAIN_SETS else 0)
            x, values = self._with_ends(item)
            line = Line2D(
                x,
                values,
                color=color,
                linestyle=dash,
                linewidth=1.6,
                zorder=3,
                label=f"{metric} {item.dataset}",
            )
            axes.add_line(line)
            alone = _alone(values)
            axes.plot(x[alone], values[alone], ".", color=color, markersize=7, zorder=3)
            sign = Line2D([], [], color=color, linestyle=dash, linewidth=1.6)
            self._entries.append(Entry(sign, f"{metric.replace('_', ' ')}, {item.dataset}"))
            self._ends(axes, item, color)
            label = f"own {metric} {item.dataset}"
            own = own_values(self.result, item)
            # ties of several data sets would lie on one another
            tied = len(items) == 1
            if draw_own(axes, self.page, own, color, label, tied=tied):
                self._told_apart = True
            self._one_by_one(axes, item, each[k], color, dash)
        return scale

    def _each(self, item: Shown) -> NDArray[np.float64]:
        """Every direction's own values of the metric, shape (directions, n); none elsewhere."""
        if self.lines is None or self.lines.repeats < 2 or item.metric not in _EACH:
            return np.empty((0, len(self.x)))
        place = [grid.name for grid in self.result.datasets].index(item.dataset)
        ok = self.lines.status[place] == CellStatus.OK
        return np.where(ok, getattr(self.lines, item.metric)[place], np.nan)

    def _one_by_one(
        self, axes: Axes, item: Shown, each: NDArray[np.float64], color: str, dash: Any
    ) -> None:
        """Thin lines for the directions, and the band about their mean."""
        if not len(each):
            return
        for k, values in enumerate(each):
            thin = Line2D(
                self.x,
                values,
                color=color,
                linestyle=dash,
                linewidth=0.6,
                alpha=0.45,
                zorder=2,
                label=f"{item.metric} {item.dataset} {k}",
            )
            axes.add_line(thin)
        log = axes.get_yscale() == "log"
        band = band_of(self.result, item, log=log)
        if band is not None:
            low, high = axes.get_ylim()
            axes.fill_between(
                self.x,
                np.clip(band[0], low, high),
                np.clip(band[1], low, high),
                color=color,
                alpha=0.16,
                linewidth=0,
                zorder=1.5,
                label=f"band {item.metric} {item.dataset}",
            )
        said = {entry.meaning for entry in self._entries}
        words = f"each of {len(each)} directions"
        if words not in said:
            muted = self.page.theme.muted
            self._entries.append(Entry(Line2D([], [], color=muted, linewidth=0.6), words))
            self._entries.append(
                Entry(
                    Patch(facecolor=muted, alpha=0.25, linewidth=0),
                    f"thick: their mean, {BAND_WORDS[log]}",
                )
            )

    def _with_ends(self, item: Shown) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The line's points, and its two ends where the grid passes them by."""
        at = self.result.anchors[:, 0]
        between = (at > self.x[0]) & (at < self.x[-1]) & ~np.isin(at, self.x)
        between &= np.isfinite(item.anchors)
        x = np.concatenate([self.x, at[between]])
        order = np.argsort(x, kind="stable")
        return x[order], np.concatenate([item.values, item.anchors[between]])[order]

    def _shade(self, base: str, k: int) -> str:
        """The colour, then darker, then paler, for telling many lines apart."""
        ground = (None, self.page.theme.ink, self.page.theme.paper)[k % 3]
        if ground is None:
            return base
        mixed = 0.55 * np.array(to_rgb(base)) + 0.45 * np.array(to_rgb(ground))
        return to_hex(mixed.tolist())

    def _ends(self, axes: Axes, item: Shown, color: str) -> None:
        low, high = axes.get_ylim()
        for at, value in zip(self.result.anchors[:, 0], item.anchors, strict=True):
            if np.isfinite(value) and self.x[0] <= at <= self.x[-1]:
                axes.plot(
                    [at],
                    [value],
                    "o",
                    markersize=5,
                    markerfacecolor=self.page.theme.paper,
                    markeredgecolor=color,
                    markeredgewidth=1.3,
                    zorder=4,
                    clip_on=not low <= value <= high,
                    label=f"end {item.metric} {item.dataset}",
                )

    def _mark_ends(self) -> None:
        muted, apart = self.page.theme.muted, self._told_apart
        seen = [at for at in self.result.anchors[:, 0] if self.x[0] <= at <= self.x[-1]]
        for at in seen:
            self.left_axes.axvline(at, color=muted, linewidth=0.7, linestyle=(0, (2, 2)), zorder=1)
        if seen:
            sign = Line2D(
                [],
                [],
                linestyle="none",
                marker="o",
                markersize=5,
                markerfacecolor=self.page.theme.paper,
                markeredgecolor=muted,
                markeredgewidth=1.3,
            )
            first = "origin" if self.lines is None else "the network"
            names = {0.0: first, 1.0: "target"}
            there = " and ".join(f"{names.get(at, at)} (α = {at:g})" for at in seen)
            self._entries.append(Entry(sign, f"{there}, as on the line" if apart else there))
        if apart:
            self._entries.append(Entry(own_sign(self.page, muted), OWN))

    def _mark_voids(self, items: list[Shown]) -> None:
        unit = float(self.x[1] - self.x[0]) if len(self.x) > 1 else 1.0
        borders = edges(self.x, unit)
        theme = self.page.theme
        for code, mask in counts(items).items():
            for k in np.flatnonzero(mask):
                band = self.left_axes.axvspan(borders[k], borders[k + 1], zorder=0.5)
                band.set(**void_look(code, theme))
                band.set_label(f"status {code.word}")
            self._entries.append(void_entry(code, int(mask.sum()), theme, "point"))


#: What a band about a mean is, by whether the axis is logarithmic.
BAND_WORDS: Final = {False: "± one standard deviation", True: "from the lowest to the highest"}


def band_of(
    result: GridResult, item: Shown, *, log: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Lower and upper edge about the mean of several lines, shape (n,); None for a single line.

    One standard deviation. On a logarithmic axis, where the mean less that may not exist, the
    lowest and the highest of the lines.
    """
    lines = Lines.of(result)
    spread = result.dataset(item.dataset).extra.get(f"{item.metric}_spread")
    if lines is None or spread is None:
        return None
    if not log:
        return item.values - spread, item.values + spread
    place = [grid.name for grid in result.datasets].index(item.dataset)
    each = getattr(lines, item.metric)[place]
    whole = np.isfinite(item.values)
    ends = (np.min(each, axis=0), np.max(each, axis=0))
    return np.where(whole, ends[0], np.nan), np.where(whole, ends[1], np.nan)


def _is_accuracy(axes: Axes, options: FigureOptions) -> bool:
    return axes.get_label() == "right" or options.metric == "accuracy"


def with_room(scale: Scale) -> tuple[float, float]:
    """Axis limits: the scale's ends and a little beyond, so that no line runs on the frame."""
    if scale.log:
        factor = (scale.high / scale.low) ** 0.04
        return scale.low / factor, scale.high * factor
    room = 0.04 * (scale.high - scale.low)
    return scale.low - room, scale.high + room


def _alone(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Points that no line reaches: both neighbours are missing."""
    known = np.isfinite(values)
    beside = np.zeros(known.shape, dtype=bool)
    beside[1:] |= known[:-1]
    beside[:-1] |= known[1:]
    return known & ~beside


CURVE: Final = ViewRule(
    View.CURVE,
    label="Curve",
    where="along a line through weight space",
    fits=lambda result: result.y is None and not is_point(result),
    draw=lambda page, result, options, _grid, _path: Curve(page, result, options),
    every_dataset=True,
)
