"""Several landscapes' lines on one pair of axes, to be compared (Li et al. 2018, figs. 2 and 3).

Owns what may be overlaid and how lines are told apart: a colour for each landscape, a dash for each
data set.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from service.domain.cells import CellStatus
from service.domain.results import GridResult
from service.figures.colorbar import metric_name, value_label
from service.figures.curve import BAND_WORDS, DASHES, HEIGHT, band_of, with_room
from service.figures.fitting import fit
from service.figures.frame import axis_label, coordinate_ticks, dress, value_ticks
from service.figures.legend import Entry
from service.figures.networks import OWN, draw_own, finite, own_sign, own_values
from service.figures.options import FigureOptions
from service.figures.page import Page
from service.figures.scale import Scale, scale_of
from service.figures.shown import WORDS, Shown, chosen, shown

#: As many as have colours of their own.
MOST: Final = 6


@dataclass(frozen=True)
class Named:
    """A line, and what the legend calls it."""

    label: str
    result: GridResult


@dataclass(frozen=True)
class _Drawn:
    label: str
    result: GridResult
    shown: Shown
    color: str
    dash: Any
    stands_for: str


class Overlay:
    """Up to six lines, of one metric.

    Raises:
        ValueError: too many, or a result that is not a line.
        KeyError: a line without the metric or the data set.
    """

    def __init__(self, page: Page, lines: Sequence[Named], options: FigureOptions) -> None:
        if not 1 <= len(lines) <= MOST:
            raise ValueError(f"{len(lines)} lines do not fit one figure; 1 to {MOST} do")
        if any(line.result.y is not None for line in lines):
            raise ValueError("only lines can be laid over each other")
        self.page, self.options = page, options
        self.x = np.unique(np.concatenate([line.result.x for line in lines]))
        self.items = self._items(lines)
        self._entries: list[Entry] = []
        self._notes: list[str] = []
        self.axes: Axes = page.figure.add_axes((0.1, 0.1, 0.8, 0.8), label="overlay")
        dress(self.axes, page)
        values = np.concatenate(
            [
                part
                for item in self.items
                for part in (item.shown.values, finite(own_values(item.result, item.shown)))
            ]
        )
        self.scale: Scale | None = scale_of(values, options)
        log = bool(self.scale and self.scale.log)
        self.axes.set_ylabel(axis_label(page, value_label(options.metric, log=log)))
        self.axes.set_xlabel("α")
        self.axes.grid(axis="y", color=page.theme.rule, linewidth=0.6, zorder=0)
        self.axes.set_axisbelow(True)
        if self.scale is None:
            self._notes.append(f"No point has a value of {metric_name(options.metric)}.")
        else:
            self._plot(self.scale)
        low, high = float(self.x[0]), float(self.x[-1])
        self.axes.set_xlim((low, high) if high > low else (low - 0.5, high + 0.5))
        self._mark_anchors()

    @property
    def entries(self) -> list[Entry]:
        return self._entries

    @property
    def notes(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(self._notes))

    def measure(self) -> float:
        """See `Drawing.measure`."""
        height = self.page.inner_width * HEIGHT
        self.fit = fit(self.page, [self.axes], self._put, share=0.85, height=height)
        return self.fit.total

    def place(self, top: float) -> None:
        """See `Drawing.place`."""
        self._put(self.fit.left, top + self.fit.above, self.fit.width, self.fit.height)

    def _put(self, left: float, top: float, width: float, height: float) -> None:
        self.page.place(self.axes, left, top, width, height)
        coordinate_ticks(self.axes.xaxis, width, self.x.tolist())
        if self.scale is None:
            self.axes.set_yticks([])
            return
        count = max(3, min(8, int(height / 0.35)))
        percent = self.options.metric == "accuracy"
        value_ticks(self.axes.yaxis, self.scale, count, percent=percent)

    def _items(self, lines: Sequence[Named]) -> list[_Drawn]:
        items = []
        for line, color in zip(lines, self.page.theme.runs, strict=False):
            grids = chosen(line.result, self.options.dataset)
            for grid, dash in zip(grids, DASHES, strict=False):
                name = line.label if len(grids) == 1 else f"{line.label}, {grid.name}"
                item = shown(grid, self.options.metric)
                items.append(_Drawn(line.label, line.result, item, color, dash, name))
        return items

    def _plot(self, scale: Scale) -> None:
        if scale.log:
            self.axes.set_yscale("log")
        self._notes.extend(scale.notes)
        low, high = with_room(scale)
        self.axes.set_ylim(low, high)
        banded = apart = False
        for item in self.items:
            x, values = item.result.x, item.shown.values
            look = {"color": item.color, "linestyle": item.dash, "linewidth": 1.7}
            self.axes.add_line(Line2D(x, values, zorder=3, label=item.stands_for, **look))
            self._entries.append(Entry(Line2D([], [], **look), item.stands_for))
            band = band_of(item.result, item.shown, log=scale.log)
            if band is not None:
                banded = True
                self.axes.fill_between(
                    x,
                    np.clip(band[0], low, high),
                    np.clip(band[1], low, high),
                    color=item.color,
                    alpha=0.13,
                    linewidth=0,
                    zorder=1.5,
                    label=f"band {item.stands_for}",
                )
            own = own_values(item.result, item.shown)
            label = f"own {item.stands_for}"
            apart |= draw_own(self.axes, self.page, own, item.color, label, tied=False)
            self._tell_missing(item)
        if apart:
            self._entries.append(Entry(own_sign(self.page, self.page.theme.muted), OWN))
        if banded:
            self._notes.append(f"Lines are means over directions; bands: {BAND_WORDS[scale.log]}.")

    def _tell_missing(self, item: _Drawn) -> None:
        found = {
            WORDS[CellStatus(code)]: int(mask.sum())
            for code, mask in item.shown.missing_by_status().items()
        }
        if found:
            what = ", ".join(f"{count:,} {word}" for word, count in found.items())
            self._notes.append(f"{item.stands_for}: no value at some points ({what}).")

    def _mark_anchors(self) -> None:
        """The networks that lines start from and lead to."""
        low, high = self.axes.get_xlim()
        anchors = {float(a) for item in self.items for a in item.result.anchors[:, 0]}
        for at in sorted(a for a in anchors if low <= a <= high):
            self.axes.axvline(
                at, color=self.page.theme.muted, linewidth=0.7, linestyle=(0, (2, 2)), zorder=1
            )
