"""The words around a plot: title and caption, from what is drawn. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from service.domain.cells import CellStatus
from service.domain.results import DatasetGrid, GridResult
from service.figures.numbers import number
from service.figures.options import FigureOptions, View

_WHAT: Final = {
    View.CURVE: "along a line through weight space",
    View.CONTOUR: "around the trained network",
    View.FILLED: "around the trained network",
    View.HEATMAP: "around the trained network",
    View.SURFACE: "around the trained network",
}


def title(options: FigureOptions, view: View, accuracy_too: bool) -> str:
    """The title asked for, or one that says what is drawn."""
    if options.title:
        return options.title
    metric = options.metric.replace("_", " ")
    if accuracy_too:
        metric = "loss and accuracy"
    return f"{metric[:1].upper()}{metric[1:]} {_WHAT[view]}"


def caption(
    result: GridResult, options: FigureOptions, datasets: Sequence[DatasetGrid]
) -> list[str]:
    """Model, normalisation, range, grid, data, samples; each an item of the caption."""
    items = []
    if options.caption.model:
        items.append(f"model: {options.caption.model}")
    if options.caption.normalisation:
        items.append(f"directions: {options.caption.normalisation}")
    items.append(f"range: {_range(result)}")
    items.append(f"data: {', '.join(_data(d) for d in datasets)}")
    pending = int(np.sum(result.status == CellStatus.PENDING))
    if pending:
        total = result.status.size
        things = "points" if result.y is None else "cells"
        items.append(f"computed so far: {total - pending:,} of {total:,} {things}")
    return items


def _data(grid: DatasetGrid) -> str:
    return f"{grid.name} ({grid.samples:,}\u00a0sample{'' if grid.samples == 1 else 's'})"


def _range(result: GridResult) -> str:
    x = _ends("α", result.x[0], result.x[-1])
    if result.y is None:
        count = len(result.x)
        return f"{x}, {count:,} point{'' if count == 1 else 's'}"
    y = _ends("β", result.y[0], result.y[-1])
    return f"{x}, {y}, {len(result.x):,}×{len(result.y):,} cells"


def _ends(name: str, low: float, high: float) -> str:
    if low == high:
        return f"{name} = {number(float(low), 4)}"
    return f"{name} from {number(float(low), 4)} to {number(float(high), 4)}"
