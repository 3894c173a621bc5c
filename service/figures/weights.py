"""Histograms of the weights at a line's ends, one over the other (Li et al. 2018, fig. 2)."""

from __future__ import annotations

from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from service.domain.results import DatasetGrid, GridResult
from service.domain.weights import WeightHistograms
from service.figures.curve import CURVE
from service.figures.fitting import fit
from service.figures.frame import coordinate_ticks, dress, set_ticks
from service.figures.legend import Entry
from service.figures.numbers import number
from service.figures.options import FigureOptions, View
from service.figures.page import Page
from service.figures.trajectory import PathDrawing
from service.figures.view import ViewRule

#: What of the weights lies within the axis, and in how many bars.
_SHOWN: Final = 0.999
_BARS: Final = 80
_HEIGHT: Final = 0.5
_ENDS: Final = ("origin", "target")
_DASHES: Final = ("-", "--")


class WeightsDrawing:
    """One outline for each end; the height is the share of that end's weights per bar."""

    def __init__(self, page: Page, weights: WeightHistograms) -> None:
        self.page = page
        self.axes: Axes = page.figure.add_axes((0.1, 0.1, 0.8, 0.8), label="weights")
        dress(self.axes, page)
        self.edges, counts = _bars(weights)
        totals = np.maximum(weights.counts.sum(axis=1, keepdims=True), 1)
        self.shares: NDArray[np.float64] = counts / totals
        self._entries: list[Entry] = []
        for end, shares, count, norm, color, dash in zip(
            _ENDS,
            self.shares,
            weights.counts.sum(axis=1),
            weights.norms,
            page.theme.series,
            _DASHES,
            strict=False,
        ):
            self.axes.stairs(
                shares, self.edges, color=color, linewidth=1.4, linestyle=dash, label=end
            )
            self.axes.stairs(shares, self.edges, color=color, fill=True, alpha=0.12, linewidth=0)
            sign = Line2D([], [], color=color, linestyle=dash, linewidth=1.6)
            words = f"{end}: {int(count):,} weights, length {number(float(norm), 4)}"
            self._entries.append(Entry(sign, words))
        self.top = 1.05 * float(self.shares.max(initial=0.0)) or 1.0
        self.axes.set_xlim(self.edges[0], self.edges[-1])
        self.axes.set_ylim(0.0, self.top)
        self.axes.set_xlabel("weight")
        self.axes.set_ylabel("share of the weights")
        beyond = 1.0 - self.shares.sum(axis=1)
        self._notes = (
            "Kernels and matrices only: no biases, no gains of normalisation layers.",
            *(
                ("Up to 0.1% of an end's weights lie beyond the axis.",)
                if float(beyond.max(initial=0.0)) > 0
                else ()
            ),
        )

    @property
    def entries(self) -> list[Entry]:
        return self._entries

    @property
    def notes(self) -> tuple[str, ...]:
        return self._notes

    def measure(self) -> float:
        """See `Drawing.measure`."""
        height = self.page.inner_width * _HEIGHT
        self.fit = fit(self.page, [self.axes], self._put, share=0.85, height=height)
        return self.fit.total

    def place(self, top: float) -> None:
        """See `Drawing.place`."""
        self._put(self.fit.left, top + self.fit.above, self.fit.width, self.fit.height)

    def _put(self, left: float, top: float, width: float, height: float) -> None:
        self.page.place(self.axes, left, top, width, height)
        coordinate_ticks(self.axes.xaxis, width, self.edges.tolist())
        count = max(3, min(6, int(height / 0.5)))
        step = 10.0 ** np.floor(np.log10(self.top / count))
        step *= next(m for m in (1, 2, 5, 10) if m * step * count >= self.top)
        ticks = np.arange(0.0, self.top, step).tolist()
        set_ticks(self.axes.yaxis, ticks, percent=True)


def _bars(weights: WeightHistograms) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Neighbouring bins about zero put together: edges (b + 1,) and counts (e, b)."""
    bins = weights.counts.shape[1]
    middle = bins // 2
    totals = weights.counts.sum(axis=1)
    half = middle
    while half > 1:
        inside = weights.counts[:, middle - half + 1 : middle + half - 1].sum(axis=1)
        if (inside < _SHOWN * totals).any():
            break
        half -= 1
    together = max(1, (2 * half) // _BARS)
    half = min(middle, -(-half // together) * together)
    half -= half % together
    counts = weights.counts[:, middle - half : middle + half]
    grouped = counts.reshape(len(counts), -1, together).sum(axis=2)
    return weights.edges[middle - half : middle + half + 1 : together], grouped


def _draw(
    page: Page,
    result: GridResult,
    _options: FigureOptions,
    _grid: DatasetGrid,
    _path: PathDrawing | None,
) -> WeightsDrawing:
    weights = WeightHistograms.of(result)
    if weights is None:
        raise ValueError("the weights were not counted")
    return WeightsDrawing(page, weights)


WEIGHTS: Final = ViewRule(
    View.WEIGHTS,
    label="Weights",
    where="at the ends of a line through weight space",
    what="how large the weights are",
    fits=lambda result: CURVE.fits(result) and WeightHistograms.of(result) is not None,
    draw=_draw,
)
