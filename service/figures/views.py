"""The table of views: each is a drawing's file beside this one, and a line here.

Owns which views fit a result. Draws nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from service.domain.results import GridResult
from service.figures import curve, plane, relief, spectrum, weights
from service.figures.options import (
    CELL_METRICS,
    CURVATURE_METRICS,
    FigureOptions,
    View,
    shape_of,
)
from service.figures.view import ViewRule

#: Of those that fit a result, the first is the usual one.
VIEWS: Final[Mapping[View, ViewRule]] = {
    rule.view: rule
    for rule in (
        curve.CURVE,
        weights.WEIGHTS,
        plane.CONTOUR,
        plane.FILLED,
        plane.HEATMAP,
        relief.SURFACE,
        spectrum.SPECTRUM,
        spectrum.LAYERS,
    )
}


def views_of(result: GridResult) -> tuple[View, ...]:
    """The views that fit a result, the usual one first."""
    return tuple(view for view, rule in VIEWS.items() if rule.fits(result))


def view_of(options: FigureOptions, result: GridResult) -> View:
    """The view asked for, or the usual one of such a grid.

    Raises:
        ValueError: the view does not fit the grid.
    """
    possible = views_of(result)
    view = possible[0] if options.view is None else options.view
    by_cell = options.metric in CURVATURE_METRICS | CELL_METRICS
    if options.view is None and result.y is not None and by_cell:
        view = View.HEATMAP
    if view not in possible:
        raise ValueError(f"view {view.value!r} does not fit {shape_of(result)}")
    return view
