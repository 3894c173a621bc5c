"""Axes as this page draws them: type, rules, ticks that never run into each other."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import FixedFormatter, FixedLocator, MaxNLocator, NullLocator

from service.figures.numbers import labels
from service.figures.page import Page
from service.figures.scale import Scale


def dress(axes: Axes, page: Page) -> None:
    """Colours and sizes of frame, ticks and labels."""
    theme = page.theme
    axes.set_facecolor(theme.paper)
    for spine in axes.spines.values():
        spine.set_color(theme.muted)
        spine.set_linewidth(0.7)
    axes.tick_params(
        colors=theme.muted, labelcolor=theme.ink, labelsize=page.text_size, width=0.7, length=3
    )
    for axis in (axes.xaxis, axes.yaxis):
        axis.label.set_color(theme.ink)
        axis.label.set_fontsize(page.text_size + 0.5)
        axis.label.set_parse_math(False)


def axis_label(page: Page, text: str) -> str:
    """The text, shortened where it would be longer than an axis."""
    return page.elide(text, page.text_size + 0.5, 0.55 * page.inner_width)


def coordinate_ticks(axis: Axis, inches: float, points: Sequence[float]) -> None:
    """Round numbers along a coordinate, as many as fit; an axis of one point has that tick."""
    if len(points) == 1:
        set_ticks(axis, [float(points[0])])
        return
    count = max(2, min(9, int(inches / 0.5)))
    locator = MaxNLocator(nbins=count, steps=[1, 2, 2.5, 5, 10], min_n_ticks=2)
    low, high = sorted(axis.get_view_interval())
    ticks = [float(t) for t in locator.tick_values(low, high) if low <= t <= high]
    set_ticks(axis, ticks)


def value_ticks(axis: Axis, scale: Scale, count: int, *, percent: bool = False) -> None:
    """The scale's ticks."""
    set_ticks(axis, [float(t) for t in scale.ticks(count)], percent=percent)


def set_ticks(axis: Axis, ticks: list[float], *, percent: bool = False) -> None:
    """Exactly these ticks."""
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_major_formatter(FixedFormatter(labels(ticks, percent=percent)))
    axis.set_minor_locator(NullLocator())
