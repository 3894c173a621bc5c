"""The Hessian's spectrum at a point: its density, the eigenvalues found, and its layers' ends."""

from __future__ import annotations

from typing import Any, Final, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.text import Text
from numpy.typing import NDArray

from service.domain.questions.curvature.result import array, has_map, has_spectrum, is_point, number
from service.domain.results import GridResult
from service.figures.fitting import fit
from service.figures.frame import axis_label, coordinate_ticks, dress, value_ticks
from service.figures.legend import Entry
from service.figures.numbers import number as written
from service.figures.options import CURVATURE_METRICS, View
from service.figures.page import Page
from service.figures.scale import Scale
from service.figures.view import ViewRule

Side = Literal["left", "right"]

LARGEST: Final = "λₘₐₓ"
SMALLEST: Final = "λₘᵢₙ"
_HEIGHT: Final = 0.5
_STEMS_HEIGHT: Final = 0.3
#: Of the frame's height: the nodes' rug, and the eigenvalues' stems where there is no density.
_RUG: Final = 0.045
_STEM: Final = 0.72
_LAYER_HEIGHT: Final = 0.3
#: More layers than this are left out, those of the smallest λ_max first.
_MOST_LAYERS: Final = 60
#: Of the axis: λ_min and λ_max nearer than this leave no room for both names between them.
_ROOM_FOR_NAMES: Final = 0.7
#: Decades below the peak of a density that are shown at most.
_MOST_DECADES: Final = 10


class SpectrumDrawing:
    """Density on a logarithmic scale over its raw nodes; stems of eigenvalues without a density."""

    def __init__(self, page: Page, result: GridResult) -> None:
        self.page, self.result = page, result
        self._entries: list[Entry] = []
        self._notes: list[str] = []
        self.scale: Scale | None = None
        self.axes: Axes = page.figure.add_axes((0.1, 0.1, 0.8, 0.8), label="spectrum")
        dress(self.axes, page)
        self.axes.set_xlabel("eigenvalue of the Hessian")
        self.largest, self.smallest = _found(result, "largest"), _found(result, "smallest")
        self.nodes = _numbers(result, "density.nodes")
        self._limit()
        if len(self.nodes):
            self._density()
        else:
            self.axes.set_yticks([])
            self.axes.set_ylim(0, 1)
        self._eigenvalues()
        self._ends()

    @property
    def entries(self) -> list[Entry]:
        return self._entries

    @property
    def notes(self) -> tuple[str, ...]:
        return tuple(self._notes)

    def measure(self) -> float:
        """See `Drawing.measure`."""
        ratio = _HEIGHT if len(self.nodes) else _STEMS_HEIGHT
        height = self.page.inner_width * ratio
        self.fit = fit(self.page, [self.axes], self._put, share=0.9, height=height, top=0.4)
        return self.fit.total

    def place(self, top: float) -> None:
        """See `Drawing.place`."""
        self._put(self.fit.left, top + self.fit.above, self.fit.width, self.fit.height)

    def _put(self, left: float, top: float, width: float, height: float) -> None:
        self.page.place(self.axes, left, top, width, height)
        coordinate_ticks(self.axes.xaxis, width, self.axes.get_xlim())
        if self.scale is not None:
            value_ticks(self.axes.yaxis, self.scale, max(3, min(7, int(height / 0.4))))

    def _limit(self) -> None:
        known = np.concatenate([self.largest[0], self.smallest[0], self.nodes])
        if not len(known):
            known = np.array([0.0])
            words = "No eigenvalue was asked for." if has_spectrum(self.result) else ""
            self._notes.extend([words] if words else [])
        low, high = float(known.min()), float(known.max())
        room = 0.06 * (high - low) or 0.1 * abs(high) or 1.0
        self.axes.set_xlim(min(low, 0.0) - room, max(high, 0.0) + room)
        self.axes.axvline(0.0, color=self.page.theme.muted, linewidth=0.7, zorder=1)

    def _density(self) -> None:
        theme = self.page.theme
        x, density = (
            _numbers(self.result, "density.curve_x"),
            _numbers(self.result, "density.curve"),
        )
        width = number(self.result, "density.width") or 1.0
        parameters = number(self.result, "parameters") or 1.0
        top = float(density.max())
        # a single eigenvalue's bump still stands out
        floor = 0.2 / (parameters * width * np.sqrt(2 * np.pi))
        floor = min(max(floor, top * 10.0**-_MOST_DECADES), top / 10)
        low, high = floor / (top / floor) ** (_RUG + 0.02), top * (top / floor) ** 0.08
        self.scale = Scale(floor, high, log=True, constant=False, extend="neither")
        self.axes.set_yscale("log")
        self.axes.set_ylim(low, high)
        self.axes.set_ylabel(axis_label(self.page, "density (log scale)"))
        color = theme.series[0]
        # what lies below runs out of the frame instead of ending in the air
        shown = np.maximum(density, low / 10)
        (curve,) = self.axes.plot(x, shown, color=color, linewidth=1.4, zorder=3, label="density")
        self.axes.fill_between(x, low, shown, color=color, alpha=0.15, linewidth=0, zorder=2)
        weights = _numbers(self.result, "density.weights")
        self.axes.vlines(
            self.nodes,
            0,
            _RUG,
            transform=self.axes.get_xaxis_transform(),
            colors=theme.ink,
            alpha=0.55,
            linewidth=0.6,
            zorder=3,
            label="nodes",
        )
        probes = int(_numbers(self.result, "density.probe").max()) + 1
        self._entries.append(Entry(_sign(curve), f"density, smoothed (σ = {written(width)})"))
        tick = Line2D([], [], linestyle="none", marker="|", markersize=8, color=theme.ink)
        plural = "probe" if probes == 1 else "probes"
        self._entries.append(Entry(tick, f"{len(weights):,} raw nodes of {probes:,} {plural}"))

    def _eigenvalues(self) -> None:
        """A mark for each: filled where it has converged, open where it has not."""
        theme = self.page.theme
        across = self.axes.get_xaxis_transform()
        color = theme.series[1]
        for values, converged in (self.largest, self.smallest):
            if not len(self.nodes):
                self.axes.vlines(values, 0, _STEM, transform=across, colors=color, linewidth=1.2)
            height = 0.97 if len(self.nodes) else _STEM
            for value, done in zip(values, converged, strict=True):
                self.axes.plot(
                    [value],
                    [height],
                    marker="v" if len(self.nodes) else "o",
                    markersize=5,
                    markerfacecolor=color if done else theme.paper,
                    markeredgecolor=color,
                    transform=across,
                    zorder=4,
                    label="eigenvalue",
                )
        self._explain()

    def _explain(self) -> None:
        done = np.concatenate([self.largest[1], self.smallest[1]])
        theme = self.page.theme
        shape = "v" if len(self.nodes) else "o"
        words = "eigenvalue found" if int(done.sum()) == 1 else "eigenvalues found"
        for count, face, text in (
            (int(done.sum()), theme.series[1], words),
            (int((~done).sum()), theme.paper, "not converged"),
        ):
            if count:
                sign = Line2D(
                    [],
                    [],
                    linestyle="none",
                    marker=shape,
                    markersize=5,
                    markerfacecolor=face,
                    markeredgecolor=theme.series[1],
                )
                self._entries.append(Entry(sign, f"{count:,} {text}"))

    def _ends(self) -> None:
        """λ_min and λ_max by name and value, above the frame."""
        theme = self.page.theme
        low, high = self.axes.get_xlim()
        ends = [float(values[0]) for values, _ in (self.smallest, self.largest) if len(values)]
        # the two names grow towards each other where there is room, else away
        near = len(ends) == 2 and ends[1] - ends[0] < _ROOM_FOR_NAMES * (high - low)
        sides: tuple[Side, Side] = ("right", "left") if near else ("left", "right")
        for (values, _), name, side in (
            (self.smallest, SMALLEST, sides[0]),
            (self.largest, LARGEST, sides[1]),
        ):
            if not len(values):
                continue
            value = float(values[0])
            self.axes.axvline(
                value, color=theme.series[1], linewidth=0.8, linestyle=(0, (3, 2)), zorder=2
            )
            self.axes.text(
                value,
                1.02,
                f"{name} = {written(value, 4)}",
                transform=self.axes.get_xaxis_transform(),
                ha=side,
                va="bottom",
                fontsize=self.page.text_size,
                color=theme.ink,
                parse_math=False,
                label=name,
            )


class LayersDrawing:
    """λ_max and λ_min of each layer's block of the Hessian, as bars, with its trace beside."""

    def __init__(self, page: Page, result: GridResult) -> None:
        self.page = page
        self._notes: list[str] = []
        names = [str(name) for name in _words(result, "layers.names")]
        largest, smallest = _numbers(result, "layers.largest"), _numbers(result, "layers.smallest")
        traces, errors = _numbers(result, "layers.trace"), _numbers(result, "layers.trace_error")
        kept = np.arange(len(names))
        if len(names) > _MOST_LAYERS:
            kept = np.sort(np.argsort(-largest, kind="stable")[:_MOST_LAYERS])
            self._notes.append(
                f"The {_MOST_LAYERS} layers of the largest {LARGEST}; {len(names)} in all."
            )
        self.count = len(kept)
        self.axes: Axes = page.figure.add_axes((0.2, 0.1, 0.6, 0.8), label="layers")
        dress(self.axes, page)
        at = list(range(self.count))
        theme = page.theme
        self.axes.barh(at, largest[kept], 0.62, color=theme.series[0], zorder=2, label=LARGEST)
        self.axes.barh(at, smallest[kept], 0.62, color=theme.series[1], zorder=2, label=SMALLEST)
        self.axes.axvline(0.0, color=theme.muted, linewidth=0.7, zorder=3)
        self.axes.set_ylim(self.count - 0.4, -0.6)
        shown = [page.elide(names[k], page.text_size, 0.28 * page.inner_width) for k in kept]
        self.axes.set_yticks(at, shown, parse_math=False)
        self.axes.set_xlabel("eigenvalue of the layer's block")
        self.axes.grid(axis="x", color=theme.rule, linewidth=0.6, zorder=0)
        self.axes.set_axisbelow(True)
        for row, k in zip(at, kept, strict=True):
            self._write(row, f"{written(float(traces[k]), 4)} ± {written(float(errors[k]), 2)}")
        self._write(-1.0, "trace")
        self._entries = [
            Entry(Patch(facecolor=theme.series[0]), f"{LARGEST} of the layer"),
            Entry(Patch(facecolor=theme.series[1]), f"{SMALLEST} of the layer"),
        ]

    @property
    def entries(self) -> list[Entry]:
        return self._entries

    @property
    def notes(self) -> tuple[str, ...]:
        return tuple(self._notes)

    def measure(self) -> float:
        """See `Drawing.measure`."""
        height = max(2, self.count) * _LAYER_HEIGHT
        self.fit = fit(self.page, [self.axes], self._put, share=0.6, height=height, top=0.4)
        return self.fit.total

    def place(self, top: float) -> None:
        """See `Drawing.place`."""
        self._put(self.fit.left, top + self.fit.above, self.fit.width, self.fit.height)

    def _put(self, left: float, top: float, width: float, height: float) -> None:
        self.page.place(self.axes, left, top, width, height)
        coordinate_ticks(self.axes.xaxis, width, self.axes.get_xlim())

    def _write(self, row: float, words: str) -> None:
        text: Text = self.axes.text(
            1.02,
            row,
            words,
            transform=self.axes.get_yaxis_transform(),
            va="center",
            fontsize=self.page.text_size,
            color=self.page.theme.ink if row >= 0 else self.page.theme.muted,
            parse_math=False,
        )
        text.set_label("trace")


def sentences(result: GridResult) -> list[str]:
    """What a reader needs beside the picture: trace, gradient, and what has not converged."""
    said = []
    trace, error = number(result, "trace.value"), number(result, "trace.standard_error")
    if trace is not None and error is not None:
        method, probes = _words(result, "trace.method"), number(result, "trace.products") or 0
        said.append(
            f"Trace {written(trace, 4)} ± {written(error, 2)} (standard error; {method}, "
            f"{probes:.0f} products)."
        )
    (largest, _), (smallest, _) = _found(result, "largest"), _found(result, "smallest")
    if len(largest) and len(smallest) and largest[0] != 0:
        said.append(f"|{SMALLEST} / {LARGEST}| = {written(abs(float(smallest[0] / largest[0])))}.")
    gradient = number(result, "gradient_norm")
    if gradient is not None:
        said.append(f"Norm of the gradient there: {written(gradient)}.")
    return [" ".join(said)] if said else []


def map_sentences(result: GridResult, metric: str) -> list[str]:
    """What a convexity map says and does not say; nothing for other values of a plane."""
    if not has_map(result) or metric not in CURVATURE_METRICS:
        return []
    said = [
        "Eigenvalues are of the full Hessian at each cell. Negative curvature seen in a plane "
        "implies negative curvature in full space, not the reverse: a plane may look convex where "
        "the ratio is large."
    ]
    flags = result.datasets[0].extra.get("converged", np.array([]))
    known = np.isfinite(result.datasets[0].extra.get("lambda_max", np.array([])))
    missed = int((known & (flags == 0)).sum()) if len(flags) else 0
    tolerance = number(result, "tolerance") or 0.0
    words = f"Eigenvalues to a residual of {written(tolerance)} of the largest"
    if missed:
        words += f", which {missed:,} of {int(known.sum()):,} cells have not reached"
    said.append(f"{words}.")
    return said


def extent(result: GridResult) -> str | None:
    """`Hessian over 610 parameters (without bias)`."""
    count = number(result, "parameters")
    if count is None:
        return None
    excluded = ", ".join(str(word) for word in _words(result, "excluded"))
    return f"Hessian over {int(count):,} parameters{f' (without {excluded})' if excluded else ''}"


def _found(result: GridResult, end: str) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Eigenvalues of one end, most extreme first, and which have converged."""
    flags = array(result, f"{end}_converged")
    return _numbers(result, end), np.array([] if flags is None else flags, dtype=np.bool_)


def _numbers(result: GridResult, name: str) -> NDArray[np.float64]:
    found = array(result, name)
    return np.array([]) if found is None else np.asarray(found, dtype=np.float64)


def _words(result: GridResult, name: str) -> Any:
    found = array(result, name)
    return [] if found is None else found


def _sign(line: Line2D) -> Line2D:
    return Line2D([], [], color=line.get_color(), linewidth=line.get_linewidth())


SPECTRUM: Final = ViewRule(
    View.SPECTRUM,
    label="Spectrum",
    where="at {}",
    what="spectrum of the Hessian",
    fits=is_point,
    draw=lambda page, result, _options, _grid, _path: SpectrumDrawing(page, result),
    sentences=sentences,
)
LAYERS: Final = ViewRule(
    View.LAYERS,
    label="Layers",
    where="at {}",
    what="curvature of each layer",
    fits=lambda result: is_point(result) and array(result, "layers.names") is not None,
    draw=lambda page, result, _options, _grid, _path: LayersDrawing(page, result),
)
