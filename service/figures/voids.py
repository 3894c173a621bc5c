"""Cells without a value on a plane: hatched by reason, pending ones in a flat tone."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from numpy.typing import NDArray

from service.figures.legend import Entry, void_entry, void_look
from service.figures.shown import Shown
from service.figures.theme import Theme


def edges(points: NDArray[np.float64], unit: float) -> NDArray[np.float64]:
    """Borders of the cells around points, shape (n+1,); a single point's cell is `unit` wide."""
    if len(points) == 1:
        return np.array([points[0] - unit / 2, points[0] + unit / 2])
    middles = (points[1:] + points[:-1]) / 2
    first = points[0] - (points[1] - points[0]) / 2
    last = points[-1] + (points[-1] - points[-2]) / 2
    return np.concatenate([[first], middles, [last]])


def cell_edges(
    x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Borders along both axes; an axis of one point takes the other's cell size."""
    steps = [float(points[1] - points[0]) for points in (x, y) if len(points) > 1]
    unit = steps[0] if steps else 1.0
    return edges(x, unit), edges(y, unit)


def rectangles(
    mask: NDArray[np.bool_], x_edges: NDArray[np.float64], y_edges: NDArray[np.float64]
) -> Path:
    """One path around the masked cells, neighbours in a row joined."""
    padded = np.pad(mask, ((0, 0), (1, 1))).astype(np.int8)
    rows, starts = np.nonzero(np.diff(padded, axis=1) == 1)
    _, stops = np.nonzero(np.diff(padded, axis=1) == -1)
    left, right = x_edges[starts], x_edges[stops]
    bottom, top = y_edges[rows], y_edges[rows + 1]
    corners = [(left, bottom), (right, bottom), (right, top), (left, top), (left, bottom)]
    vertices = np.stack([np.stack(c, axis=1) for c in corners], axis=1).reshape(-1, 2)
    pattern = [Path.MOVETO, Path.LINETO, Path.LINETO, Path.LINETO, Path.CLOSEPOLY]
    return Path(vertices, np.array(pattern * len(rows), dtype=Path.code_type))


def draw_voids(
    axes: Axes, shown: Shown, x: NDArray[np.float64], y: NDArray[np.float64], theme: Theme
) -> list[Entry]:
    """Marks the cells without a value; returns their legend entries."""
    entries = []
    x_edges, y_edges = cell_edges(x, y)
    for code, mask in shown.missing_by_status().items():
        patch = PathPatch(rectangles(mask, x_edges, y_edges), zorder=1.5)
        patch.set(**void_look(code, theme))
        patch.set_label(f"status {code.word}")
        axes.add_patch(patch)
        entries.append(void_entry(code, int(mask.sum()), theme))
    return entries
