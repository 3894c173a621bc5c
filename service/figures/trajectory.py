"""The path of training over its plane: runs, their direction, their marks, and words about them.

Owns how a trajectory looks, from above and on a relief. One run is drawn in greys from early to
late; several have a colour each. A halo keeps every line apart from what lies below it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch
from matplotlib.transforms import Bbox
from mpl_toolkits.mplot3d.art3d import Line3DCollection
from mpl_toolkits.mplot3d.axes3d import Axes3D
from numpy.typing import NDArray

from service.domain.cells import CellStatus
from service.domain.questions.trajectory.result import Trajectory
from service.domain.results import DatasetGrid, GridResult
from service.figures.legend import Entry
from service.figures.numbers import number
from service.figures.page import Page
from service.figures.scale import Scale

Floats = NDArray[np.float64]

_WIDTH: Final = 1.5
_HALO: Final = 1.5
#: A path of more checkpoints than this is a thinner line without dots, whose direction is that
#: of a moving mean: single steps point anywhere.
_MOST_DOTS: Final = 60
_THIN: Final = 0.6
_ARROW_EVERY_INCHES: Final = 0.9
_MOST_ARROWS: Final = 7
_ARROW_INCHES: Final = 0.1
#: Pieces along a relief, by the range of x.
_FINENESS: Final = 200


@dataclass(frozen=True)
class _Look:
    """Colours and dashes of a run; `early` and `late` differ for a single one."""

    early: str
    late: str
    dashes: Literal["solid", "dashed", "dotted"]

    def at(self, part: Floats) -> Floats:
        """RGBA at shares of the way from the start, 0 to 1."""
        colors = LinearSegmentedColormap.from_list("lossatlas-path", [self.early, self.late])
        rgba: Floats = np.asarray(colors(part))
        return rgba


class PathDrawing:
    """A trajectory's lines, marks and legend on one page."""

    def __init__(self, page: Page, path: Trajectory) -> None:
        self.page, self.path = page, path
        self.looks = _looks(page, len(path.run_labels))
        self._rows = [path.rows(run) for run in range(len(path.run_labels))]

    def draw(self, axes: Axes) -> None:
        """From above: lines, dots and marks; `arrows` follow once the axes have their place."""
        for rows, look in zip(self._rows, self.looks, strict=True):
            at = self.path.coordinates[rows]
            axes.plot(
                *at.T,
                color=self.page.theme.paper,
                linewidth=_width(rows) + 2 * _HALO * _width(rows) / _WIDTH,
                alpha=0.75,
                solid_joinstyle="round",
                solid_capstyle="round",
                zorder=3.4,
                label="path halo",
            )
            line = LineCollection(
                list(np.stack([at[:-1], at[1:]], axis=1)),
                colors=look.at(_parts(len(at) - 1)),
                linewidths=_width(rows),
                linestyles=look.dashes,
                capstyle="round" if look.dashes == "solid" else "butt",
                zorder=3.5,
                label="path",
            )
            axes.add_collection(line, autolim=False)
            if len(rows) <= _MOST_DOTS:
                axes.scatter(
                    at[:, 0],
                    at[:, 1],
                    s=9,
                    c=look.at(_parts(len(at))),
                    linewidths=0,
                    zorder=3.55,
                    label="dots",
                )
        for sign, at in self._marks():
            sign.set_data(*at.T)
            axes.add_line(sign)

    def arrows(self, axes: Axes) -> None:
        """Heads along each run at equal distances on the page."""
        for rows, look in zip(self._rows, self.looks, strict=True):
            at = _smoothed(self.path.coordinates[rows])
            inches = axes.transData.transform(at) / self.page.dpi
            way = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(inches, axis=0).T))])
            count = min(_MOST_ARROWS, int(way[-1] / _ARROW_EVERY_INCHES))
            if way[-1] >= 3 * _ARROW_INCHES:
                count = max(1, count)
            for k in range(count):
                head = way[-1] * (k + 0.5) / count
                # a chord rather than the last step, which points anywhere on a noisy path
                ends = np.array([head - _ARROW_INCHES, head])
                places = np.stack([np.interp(ends, way, inches[:, i]) for i in (0, 1)], axis=1)
                tail, tip = axes.transData.inverted().transform(places * self.page.dpi)
                axes.add_patch(
                    FancyArrowPatch(
                        tail,
                        tip,
                        arrowstyle="-|>,head_length=0.42,head_width=0.24",
                        mutation_scale=15,
                        shrinkA=0,
                        shrinkB=0,
                        linewidth=0.6,
                        facecolor=look.at(np.array([head / way[-1]]))[0],
                        edgecolor=self.page.theme.paper,
                        zorder=3.6,
                        label="arrow",
                    )
                )

    def boxes(self, axes: Axes) -> list[Bbox]:
        """What the lines cover, in pixels, so that labels keep clear of them."""
        found = []
        reach = 0.03 * self.page.dpi
        for rows in self._rows:
            at = axes.transData.transform(self.path.coordinates[rows])
            way = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(at, axis=0).T))])
            if way[-1] <= 0:
                continue
            steps = np.arange(0.0, way[-1], 2 * reach)
            for x, y in zip(*(np.interp(steps, way, at[:, i]) for i in (0, 1)), strict=True):
                found.append(Bbox.from_extents(x - reach, y - reach, x + reach, y + reach))
        return found

    def lift(self, axes: Axes3D, x: Floats, y: Floats, heights: Floats) -> None:
        """On a relief: the lines lie on the surface, and break where it has holes.

        Args:
            heights: of the grid's points as drawn, shape (ny, nx).
        """

        def on_surface(at: Floats) -> Floats:
            return np.column_stack([at, _bilinear(x, y, heights, at)])

        for rows, look in zip(self._rows, self.looks, strict=True):
            at, parts = _finely(self.path.coordinates[rows], (x[-1] - x[0]) / _FINENESS)
            points = on_surface(at)
            pieces = np.stack([points[:-1], points[1:]], axis=1)
            known = np.isfinite(pieces).all(axis=(1, 2))
            if not known.any():
                continue
            for width, colors, order in (
                (_width(rows) * (1 + 2 * _HALO / _WIDTH), self.page.theme.paper, 3.4),
                (_width(rows), look.at(parts[1:][known]), 3.5),
            ):
                axes.add_collection3d(
                    Line3DCollection(
                        list(pieces[known]),
                        colors=colors,
                        linewidths=width,
                        capstyle="round",
                        zorder=order,
                        label="path" if order > 3.45 else "path halo",
                    )
                )
        for sign, at in self._marks():
            points = on_surface(at)
            shown = points[np.isfinite(points).all(axis=1)]
            if len(shown):
                axes.plot(
                    *shown.T,
                    linestyle="none",
                    marker=sign.get_marker(),
                    markersize=sign.get_markersize(),
                    markerfacecolor=sign.get_markerfacecolor(),
                    markeredgecolor=sign.get_markeredgecolor(),
                    markeredgewidth=sign.get_markeredgewidth(),
                    zorder=sign.get_zorder(),
                    label=str(sign.get_label()),
                )

    @property
    def end(self) -> str:
        """What lies at the centre, in words."""
        labels = self.path.run_labels.tolist()
        return "end of the path" if len(labels) == 1 else f"end of {labels[0] or 'the first run'}"

    @property
    def entries(self) -> list[Entry]:
        """Signs below the plot, for what is there."""
        entries = []
        for rows, look, label in zip(
            self._rows, self.looks, self.path.run_labels.tolist(), strict=True
        ):
            steps = look.at(_parts(4))
            signs = tuple(
                Line2D([], [], color=color, linewidth=_WIDTH + 0.4, linestyle=look.dashes)
                for color in (steps if look.early != look.late else steps[:1])
            )
            name = "path" if len(self._rows) == 1 else label or "path"
            meaning = f"{name}: {len(rows):,} checkpoints{self._span(rows)}"
            entries.append(Entry(signs if len(signs) > 1 else signs[0], meaning))
        meanings = {"start": "start", "drop": "learning rate lowered", "end": "end of another run"}
        seen = dict.fromkeys(str(sign.get_label()) for sign, _ in self._marks())
        for label in seen:
            sign = next(s for s, _ in self._marks() if s.get_label() == label)
            entries.append(Entry(sign, meanings[label]))
        return entries

    def _span(self, rows: NDArray[np.int64]) -> str:
        for name, values in (("epoch", self.path.epochs), ("step", self.path.steps)):
            first, last = float(values[rows[0]]), float(values[rows[-1]])
            if np.isfinite([first, last]).all():
                return f", {name} {number(first, 6, 7)} to {number(last, 6, 7)}"
        return ""

    def _marks(self) -> list[tuple[Line2D, Floats]]:
        """Starts, drops of the learning rate, and the ends of runs but the first one's."""
        path = self.path
        marks = []
        for run, (rows, look) in enumerate(zip(self._rows, self.looks, strict=True)):
            face = self.page.theme.paper
            marks.append((_sign("start", "s", 4.5, look.late, face), path.coordinates[rows[:1]]))
            if run:
                end = _sign("end", "o", 5.5, look.late, face)
                marks.append((end, path.coordinates[rows[-1:]]))
        drops = path.coordinates[path.learning_rate_drops]
        if len(drops):
            marks.append((_sign("drop", "o", 5, "white", "#e3122d", 0.7), drops))
        return marks


def axis_names(path: Trajectory) -> tuple[str, str]:
    """`PC 1 (83.1%)`, with the share of variance that the axis explains."""
    first, second = (f"PC {k + 1} ({percent(float(path.explained_variance[k]))})" for k in range(2))
    return first, second


def sentences(path: Trajectory, result: GridResult, dataset: DatasetGrid) -> list[str]:
    """What the reader of a path has to know: how much the plane holds, and how much it hides."""
    said = f"The plane holds {percent(path.share)} of the path's variation"
    if len(path.random_shares):
        count = len(path.random_shares)
        best = percent(float(path.random_shares.max()))
        tried = "a random plane" if count == 1 else f"the best of {count} random planes"
        said += f", {tried} {best}: random directions show almost nothing of a path"
        if float(path.random_shares.max()) > 0.1:
            said = said.partition(": random")[0]
    notes = [said + "."]
    gap = _largest_gap(path, result, dataset)
    if gap is not None:
        own, plane, where = gap
        notes.append(
            "The loss shown is that in the plane, which the checkpoints lie beside: at "
            f"{where} it is {number(plane, 3)}, the checkpoint's own loss {number(own, 3)} "
            "(the largest difference)."
        )
    return notes


def percent(share: float) -> str:
    """`97.2%`, `0.031%`, `<0.001%`."""
    if share > 0 and 100 * share < 0.001:
        return "<0.001%"
    if 0 < share < 1 and f"{100 * share:.1f}" == "100.0":
        return ">99.9%"
    return f"{100 * share:.1f}%" if share >= 0.01 else f"{number(100 * share, 2)}%"


def _largest_gap(
    path: Trajectory, result: GridResult, dataset: DatasetGrid
) -> tuple[float, float, str] | None:
    """Own loss, the plane's, and the checkpoint, where the two differ most."""
    if path.true is None:
        return None
    index = [d.name for d in result.datasets].index(dataset.name)
    own, plane = path.true["loss"][index], path.plane(dataset.anchors)
    known = (path.true["status"][index] == CellStatus.OK) & (plane.status == CellStatus.OK)
    if not known.any():
        return None
    row = int(np.argmax(np.where(known, np.abs(own - plane.loss), -1.0)))
    if not own[row] or abs(own[row] - plane.loss[row]) <= 0.005 * abs(own[row]):
        return None
    step = path.steps[row]
    label = str(path.labels[row])
    first = int(path.rows(int(path.runs[row]))[0])
    where = (
        label
        or (f"step {number(float(step), 6, 7)}" if np.isfinite(step) else "")
        or f"checkpoint {row - first}"
    )
    if len(path.run_labels) > 1:
        where = f"{where} of {path.run_labels[int(path.runs[row])]}"
    return float(own[row]), float(plane.loss[row]), where


def _looks(page: Page, runs: int) -> list[_Look]:
    theme = page.theme
    if runs == 1:
        return [_Look(theme.path[0], theme.path[1], "solid")]
    dashes: tuple[Literal["solid", "dashed", "dotted"], ...] = ("solid", "dashed", "dotted")
    count = len(theme.runs)
    return [
        _Look(theme.runs[k % count], theme.runs[k % count], dashes[k // count % len(dashes)])
        for k in range(runs)
    ]


def _width(rows: NDArray[np.int64]) -> float:
    return _WIDTH if len(rows) <= _MOST_DOTS else _WIDTH * _THIN


def _smoothed(at: Floats) -> Floats:
    """The points, or of a long path their moving mean over a twentieth of it, ends kept."""
    if len(at) <= _MOST_DOTS:
        return at
    half = max(1, len(at) // 40)
    sums = np.cumsum(np.vstack([np.zeros((1, 2)), at]), axis=0)
    rows = np.arange(len(at))
    low, high = np.maximum(rows - half, 0), np.minimum(rows + half + 1, len(at))
    means: Floats = (sums[high] - sums[low]) / (high - low)[:, None]
    means[0], means[-1] = at[0], at[-1]
    return means


def _parts(count: int) -> Floats:
    return np.linspace(0.0, 1.0, count) if count > 1 else np.ones(count)


def _sign(label: str, marker: str, size: float, edge: str, face: str, width: float = 1.2) -> Line2D:
    return Line2D(
        [],
        [],
        linestyle="none",
        marker=marker,
        markersize=size,
        markerfacecolor=face,
        markeredgecolor=edge,
        markeredgewidth=width,
        # a drop near the end is seen within the end's ring
        zorder=4.2 if label == "drop" else 3.7,
        label=label,
    )


def _finely(at: Floats, longest: float) -> tuple[Floats, Floats]:
    """Points along a line no further apart than that, and their share of the checkpoints."""
    lengths = np.hypot(*np.diff(at, axis=0).T)
    places = [
        np.linspace(k, k + 1, max(1, int(np.ceil(length / longest))), endpoint=False)
        for k, length in enumerate(lengths)
    ]
    rows = np.append(np.concatenate(places) if places else [], len(at) - 1)
    points = np.stack([np.interp(rows, np.arange(len(at)), at[:, i]) for i in (0, 1)], axis=1)
    return points, rows / max(1, len(at) - 1)


def _bilinear(x: Floats, y: Floats, heights: Floats, at: Floats) -> Floats:
    """Heights between the grid's points; NaN outside of it and beside a hole."""
    u = (at[:, 0] - x[0]) / (x[1] - x[0])
    v = (at[:, 1] - y[0]) / (y[1] - y[0])
    i = np.clip(np.floor(u).astype(np.int64), 0, len(x) - 2)
    j = np.clip(np.floor(v).astype(np.int64), 0, len(y) - 2)
    a, b = u - i, v - j
    found: Floats = (
        heights[j, i] * (1 - a) * (1 - b)
        + heights[j, i + 1] * a * (1 - b)
        + heights[j + 1, i] * (1 - a) * b
        + heights[j + 1, i + 1] * a * b
    )
    slack = 1e-9
    inside = (a >= -slack) & (a <= 1 + slack) & (b >= -slack) & (b <= 1 + slack)
    return np.where(inside, found, np.nan)


def heights_of(values: Floats, scale: Scale) -> Floats:
    """Where a relief draws values; NaN stays NaN."""
    return np.where(np.isfinite(values), scale.height(values), np.nan)
