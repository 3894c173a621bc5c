"""Networks on a line or plane: their marks, at their own values or at their places.

Owns how they look and what a legend calls them. What their values are is `service.domain`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from service.domain.cells import CellStatus
from service.domain.networks import Networks, anchor_at
from service.domain.results import GridResult
from service.figures.colorbar import value_label
from service.figures.legend import Entry
from service.figures.numbers import number
from service.figures.options import NetworkPlace
from service.figures.page import Page
from service.figures.shown import Shown

OWN: Final = "a network itself, with its own running statistics"
_SIGNS: Final = {"x": "s", "y": "^", "target": "s"}


@dataclass(frozen=True)
class OwnValue:
    """A network's own value of a metric, and what the line or plane gives at its place; NaN where
    there is none.
    """

    role: str
    at: tuple[float, float]
    value: float
    shown: float


@dataclass(frozen=True)
class Marked:
    """A network beside the centre of a plane, and what the legend says of it."""

    place: NetworkPlace
    entry: Entry


def own_values(result: GridResult, item: Shown) -> list[OwnValue]:
    """Of the networks that were evaluated themselves, where the metric is one that they have."""
    networks = Networks.of(result)
    if networks is None or item.metric not in ("loss", "accuracy"):
        return []
    index = [grid.name for grid in result.datasets].index(item.dataset)
    values = (networks.loss if item.metric == "loss" else networks.accuracy)[index]
    ok = networks.status[index] == CellStatus.OK
    found = []
    for k in np.flatnonzero(networks.itself).tolist():
        a, b = networks.at[k].tolist()
        anchor = anchor_at(result, (a, b))
        found.append(
            OwnValue(
                str(networks.roles[k]),
                (a, b),
                float(values[k]) if ok[k] else float("nan"),
                float("nan") if anchor is None else float(item.anchors[anchor]),
            )
        )
    return found


def finite(values: list[OwnValue]) -> NDArray[np.float64]:
    """The own values that there are, for a scale to reach."""
    known = np.array([own.value for own in values], dtype=np.float64)
    return known[np.isfinite(known)]


def own_sign(page: Page, color: str) -> Line2D:
    """An open diamond."""
    return Line2D(
        [],
        [],
        linestyle="none",
        marker="D",
        markersize=6,
        markerfacecolor=page.theme.paper,
        markeredgecolor=color,
        markeredgewidth=1.5,
        zorder=5,
    )


def draw_own(
    axes: Axes, page: Page, values: list[OwnValue], color: str, label: str, *, tied: bool
) -> bool:
    """Diamonds at own values; whether there are any.

    Args:
        tied: to the line's value by a thin dotted line.
    """
    low, high = axes.get_ylim()
    left, right = axes.get_xlim()
    drawn = False
    for own in values:
        if not np.isfinite(own.value):
            continue
        drawn = True
        sign = own_sign(page, color)
        sign.set_data([own.at[0]], [own.value])
        sign.set_label(label)
        sign.set_clip_on(not (low <= own.value <= high and left <= own.at[0] <= right))
        axes.add_line(sign)
        if tied and np.isfinite(own.shown):
            axes.plot(
                [own.at[0]] * 2,
                [own.shown, own.value],
                color=color,
                linewidth=1.1,
                linestyle=(0, (1, 1.2)),
                zorder=2.9,
                label=f"tie {label}",
            )
    return drawn


def place_sign(page: Page, role: str) -> Line2D:
    """A shape of its own for each network beside the centre, readable on any colour."""
    return Line2D(
        [],
        [],
        linestyle="none",
        marker=_SIGNS.get(role, "D"),
        markersize=6.5,
        markerfacecolor="white",
        markeredgecolor="black",
        markeredgewidth=1.2,
        zorder=4,
        label=f"network {role}",
    )


def place_entry(page: Page, place: NetworkPlace, result: GridResult, item: Shown) -> Entry:
    """`Adam, last: loss 0.376 itself, 2.68 on the plane`."""
    own = next((o for o in own_values(result, item) if o.role == place.role), None)
    said = place.name
    if own is not None:
        parts = [f"{_told(item, own.value)} itself"] if np.isfinite(own.value) else []
        parts += [f"{_told(item, own.shown)} on the plane"] if np.isfinite(own.shown) else []
        if parts:
            said += f": {value_label(item.metric, log=False)} {', '.join(parts)}"
    if not within(place, result.x, np.zeros(1) if result.y is None else result.y):
        said += f" (beyond the grid, at α = {place.at[0]:.3g}, β = {place.at[1]:.3g})"
    return Entry(place_sign(page, place.role), said)


def marked(
    page: Page, places: Sequence[NetworkPlace], result: GridResult, item: Shown
) -> list[Marked]:
    """The networks of a plane as it shows them."""
    return [Marked(place, place_entry(page, place, result, item)) for place in places]


def within(place: NetworkPlace, x: NDArray[np.float64], y: NDArray[np.float64]) -> bool:
    """Whether it lies within the grid."""
    a, b = place.at
    return bool(x[0] <= a <= x[-1] and y[0] <= b <= y[-1])


def value_there(
    place: NetworkPlace, x: NDArray[np.float64], y: NDArray[np.float64], item: Shown
) -> float:
    """What the plane gives at a network's place, between four cells; NaN beside a hole and
    outside the grid.
    """
    if not within(place, x, y):
        return float("nan")
    a, b = place.at
    rows = [float(np.interp(a, x, row)) for row in item.values]
    return float(np.interp(b, y, np.array(rows)))


def _told(item: Shown, value: float) -> str:
    return f"{100 * value:.2f}%" if item.metric == "accuracy" else number(value, 4)
