"""The words around a plot: title and caption, from what is drawn. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from service.domain.adaptive import Sampling
from service.domain.cells import CellStatus
from service.domain.counted import samples_in_words
from service.domain.questions.curvature.result import is_point
from service.domain.results import DatasetGrid, GridResult
from service.figures.colorbar import metric_name
from service.figures.numbers import number
from service.figures.options import CURVATURE_METRICS, Caption, FigureOptions
from service.figures.overlay import Named
from service.figures.shown import chosen
from service.figures.spectrum import extent
from service.figures.view import ViewRule


def title(
    options: FigureOptions, rule: ViewRule, accuracy_too: bool, *, on_path: bool = False
) -> str:
    """The title asked for, or one that says what is drawn.

    Args:
        on_path: the plane is a trajectory's.
    """
    if options.title:
        return options.title
    metric = metric_name(options.metric)
    if options.metric in CURVATURE_METRICS:
        metric += " of the Hessian"
    if rule.what is not None:
        metric = rule.what
    if accuracy_too:
        metric = "loss and accuracy"
    origin = options.caption.origin or "the trained network"
    where = rule.where.format(origin)
    if on_path:
        where = "on the plane of the training path"
    elif options.caption.networks:
        # two networks and a direction of another kind are a plane through two
        count = {1: "two", 2: "three"}[len(options.caption.networks)]
        where = f"on a plane through {count} networks"
    first = metric[:1] if options.metric in CURVATURE_METRICS else metric[:1].upper()
    return f"{first}{metric[1:]} {where}"


def caption(
    result: GridResult,
    options: FigureOptions,
    datasets: Sequence[DatasetGrid],
    *,
    on_path: bool = False,
) -> list[str]:
    """Model, normalisation, range, grid, data, samples; each an item of the caption."""
    items = []
    if options.caption.model:
        items.append(f"model: {options.caption.model}")
    if options.caption.ends:
        origin, target = options.caption.ends
        items.extend((f"origin: {origin}", f"target: {target}"))
    if options.caption.normalisation:
        items.append(f"directions: {options.caption.normalisation}")
    x_name, y_name = ("PC 1", "PC 2") if on_path else ("α", "β")
    if is_point(result):
        items.extend(filter(None, [extent(result)]))
    else:
        items.append(f"range: {_range(result, x_name, y_name)}")
    items.append(f"data: {', '.join(_data(d) for d in datasets)}")
    sampling = Sampling.of(result)
    if sampling is not None:
        items.append(sampling.sentence(result, datasets[0]))
    pending = int(np.sum(result.status == CellStatus.PENDING))
    if pending:
        total = result.status.size
        things = "points" if result.y is None else "cells"
        items.append(f"computed so far: {total - pending:,} of {total:,} {things}")
    return items


def network_names(told: Caption) -> dict[str, str]:
    """The networks of a line or plane by role, as a sentence begins with them."""
    ends = {} if told.ends is None else dict(zip(("origin", "target"), told.ends, strict=True))
    names = ends | {place.role: place.name for place in told.networks}
    return {role: f"{name[:1].upper()}{name[1:]}" for role, name in names.items()}


def overlay_caption(lines: Sequence[Named], options: FigureOptions) -> list[str]:
    """Range and data of several lines: once where they agree, else line by line."""
    items = []
    ranges = [_range(line.result, "α", "β") for line in lines]
    data = [
        ", ".join(_data(grid) for grid in chosen(line.result, options.dataset)) for line in lines
    ]
    for name, said in (("range", ranges), ("data", data)):
        if len(set(said)) == 1:
            items.append(f"{name}: {said[0]}")
        else:
            items.extend(
                f"{name} of {line.label}: {words}" for line, words in zip(lines, said, strict=True)
            )
    return items


def _data(grid: DatasetGrid) -> str:
    return f"{grid.name} ({samples_in_words(grid.samples, grid.counted)})"


def _range(result: GridResult, x_name: str, y_name: str) -> str:
    x = _ends(x_name, result.x[0], result.x[-1])
    if result.y is None:
        count = len(result.x)
        return f"{x}, {count:,} point{'' if count == 1 else 's'}"
    y = _ends(y_name, result.y[0], result.y[-1])
    return f"{x}, {y}, {len(result.x):,}×{len(result.y):,} cells"


def _ends(name: str, low: float, high: float) -> str:
    if low == high:
        return f"{name} = {number(float(low), 4)}"
    return f"{name} from {number(float(low), 4)} to {number(float(high), 4)}"
