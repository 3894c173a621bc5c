"""The colour bar: always labelled, ticks on readable values."""

from __future__ import annotations

from typing import Final

from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, LogNorm, Normalize

from service.figures.frame import axis_label, dress, value_ticks
from service.figures.page import Page
from service.figures.scale import Scale

WIDTH: Final = 0.15
GAP: Final = 0.12


class ColorBar:
    """An upright bar for a scale, right of its plot."""

    def __init__(self, page: Page, scale: Scale, colors: Colormap, metric: str) -> None:
        self.page, self.scale, self.metric = page, scale, metric
        self.axes: Axes = page.figure.add_axes((0.85, 0.1, 0.03, 0.8), label="colour bar")
        # a bar shows where values go beyond its ends; a clipping norm would hide that
        norm = (LogNorm if scale.log else Normalize)(scale.low, scale.high)
        self.bar = page.figure.colorbar(
            ScalarMappable(norm, colors),
            cax=self.axes,
            extend=scale.extend,
            extendfrac=0.03,
        )
        dress(self.axes, page)
        self.bar.outline.set_edgecolor(page.theme.muted)
        self.bar.outline.set_linewidth(0.7)
        self.axes.set_ylabel(axis_label(page, value_label(metric, log=scale.log)))
        self.set_ticks(6)

    def set_ticks(self, count: int) -> None:
        value_ticks(self.axes.yaxis, self.scale, count, percent=self.metric == "accuracy")


def value_label(metric: str, *, log: bool) -> str:
    """`loss (log scale)`."""
    return f"{metric_name(metric)}{' (log scale)' if log else ''}"


def metric_name(metric: str) -> str:
    """`loss`, or a symbol where there is one."""
    return _SYMBOLS.get(metric) or metric.replace("_", " ")


_SYMBOLS: Final = {
    "ratio": "|λₘᵢₙ / λₘₐₓ|",
    "lambda_max": "λₘₐₓ",
    "lambda_min": "λₘᵢₙ",
    "lambda_max_residual": "residual of λₘₐₓ",
    "lambda_min_residual": "residual of λₘᵢₙ",
    "products": "Hessian-vector products",
    "evaluated": "evaluated cells",
}
