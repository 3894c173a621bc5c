"""Landscapes drawn into matplotlib axes of the caller's, from the arrays.

The only part of the client that needs matplotlib. Takes part of no global state beyond making new
axes when none are given. A cell without a finite value is hatched and never bridged: it is left
out of the scale, of contours and of curves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from lossatlas.arrays import LandscapeArrays
from lossatlas.errors import InputError
from lossatlas.grids import DatasetValues, Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes as Axes

PLANE_VIEWS: Final = ("contour", "filled", "heatmap", "surface")
_COLOURS: Final = "viridis"
#: Values that span such a factor are shown on a logarithmic scale.
_SPAN: Final = 50.0
#: A square with a missing corner is left out as a whole.
_WHOLE: Final = {"corner_mask": False}
_NAMES: Final = {"loss": "loss", "stderr": "standard error of the loss", "accuracy": "accuracy"}


def draw(
    landscape: LandscapeArrays,
    ax: Axes | None,
    *,
    view: str | None,
    metric: str | None,
    dataset: str | None,
    log: bool | None,
    levels: int,
    ends: tuple[float | None, float | None],
    colorbar: bool,
) -> Axes:
    """See `Landscape.plot`."""
    try:
        import matplotlib  # noqa: F401 - asked for first, so that its absence is told well
    except ImportError:
        raise InputError("plot needs matplotlib: pip install 'lossatlas[plot]'") from None
    view = view or _usual(landscape)
    axes: Axes
    if view == "spectrum":
        axes = _axes(ax, view)
        _spectrum(landscape, axes)
        return axes
    if view == "curve":
        if landscape.y is not None:
            raise InputError(f"a plane is drawn as {', '.join(PLANE_VIEWS)}, not as a curve")
        axes = _axes(ax, view)
        _curve(landscape, axes, metric or "loss", dataset, log, ends)
        return axes
    if view not in PLANE_VIEWS:
        raise InputError(f"there is no view {view!r}; there are curve, {', '.join(PLANE_VIEWS)}")
    if landscape.y is None:
        raise InputError(f"a {landscape.kind} is drawn as a curve, not as {view}")
    axes = _axes(ax, view)
    _plane(landscape, axes, view, metric, dataset, log, levels, ends, colorbar)
    return axes


def _usual(landscape: LandscapeArrays) -> str:
    if landscape.y is not None:
        return "contour"
    return "curve" if landscape.curvature is None else "spectrum"


def _axes(ax: Axes | None, view: str) -> Any:
    if ax is None:
        from matplotlib import pyplot

        shape = {"projection": "3d"} if view == "surface" else {}
        return pyplot.subplots(layout="constrained", subplot_kw=shape)[1]
    if (view == "surface") != (ax.name == "3d"):
        wanted = "3-D axes (projection='3d')" if view == "surface" else "flat axes"
        raise InputError(f"the view {view} is drawn into {wanted}")
    return ax


def _plane(
    landscape: LandscapeArrays,
    ax: Any,
    view: str,
    metric: str | None,
    dataset: str | None,
    log: bool | None,
    levels: int,
    ends: tuple[float | None, float | None],
    colorbar: bool,
) -> None:
    chosen = landscape.grid.dataset(dataset)
    usual = "ratio" if "ratio" in chosen.extra else "loss"
    name = metric or usual
    values = np.ma.masked_invalid(_values(chosen, name))
    x, y = landscape.x, landscape.y
    assert y is not None  # noqa: S101 - a plane
    scale = _scale(values, log, ends)
    title = landscape.record.title or landscape.kind
    ax.set_title(title if len(landscape.datasets) == 1 else f"{title}: {chosen.name}")
    principal = landscape.trajectory is not None
    ax.set_xlabel("first component" if principal else "α")
    ax.set_ylabel("second component" if principal else "β")
    label = _NAMES.get(name, name)
    if values.count() == 0:
        _hatch(ax, x, y, np.ones(values.shape, dtype=bool), 0.5)
        ax.set_xlim(*_edges(x, 0.5))
        ax.set_ylim(*_edges(y, 0.5))
        ax.set_title(f"{title}: no cell has a finite value")
        return
    if view == "surface":
        _relief(ax, x, y, values, scale, label)
        return
    lines = view != "heatmap" and min(values.shape) > 1 and scale.vmin != scale.vmax
    if not lines:
        ax.pcolormesh(x, y, values, norm=scale, cmap=_COLOURS, shading="nearest")
    elif view == "filled":
        heights = _heights(scale, levels)
        ax.contourf(x, y, values, heights, norm=scale, cmap=_COLOURS, extend="both", **_WHOLE)
    else:
        heights = _heights(scale, levels)
        drawn = ax.contour(
            x, y, values, heights, norm=scale, cmap=_COLOURS, linewidths=1.2, **_WHOLE
        )
        ax.clabel(drawn, heights[::4], fontsize="x-small", fmt="%.3g")
    # contours end at the neighbours of a missing cell, colours at its edge
    _hatch(ax, x, y, np.ma.getmaskarray(values), 1.0 if lines else 0.5)
    if landscape.trajectory is not None:
        _path(ax, landscape)
    elif x[0] <= 0 <= x[-1] and y[0] <= 0 <= y[-1]:
        ax.plot(0, 0, marker="+", color="black", markersize=9, zorder=4)
    for network in landscape.networks:
        a, b = network.at
        if (a, b) != (0, 0) and x[0] <= a <= x[-1] and y[0] <= b <= y[-1]:
            ax.plot(a, b, marker="D", markerfacecolor="white", color="black", zorder=4)
    margin = 0.0 if lines else 0.5
    ax.set_xlim(*_edges(x, margin))
    ax.set_ylim(*_edges(y, margin))
    if colorbar:
        from matplotlib.cm import ScalarMappable

        # contours would make a bar of steps or of thin lines, with odd ticks
        bar = ax.figure.colorbar(ScalarMappable(norm=scale, cmap=_COLOURS), ax=ax, label=label)
        _plain_numbers(bar.ax.yaxis, scale)


def _relief(ax: Any, x: Floats, y: Floats, values: Any, scale: Any, label: str) -> None:
    from matplotlib import colormaps
    from matplotlib.colors import LogNorm

    logarithmic = isinstance(scale, LogNorm)
    heights = np.ma.log10(values) if logarithmic else values
    meshx, meshy = np.meshgrid(x, y)
    filled = np.ma.filled(heights.astype(np.float64), np.nan)
    colours = colormaps[_COLOURS](scale(values))
    # every facet that touches a cell without a value is left out, not bridged
    ax.plot_surface(
        meshx, meshy, filled, facecolors=colours, rcount=len(y), ccount=len(x), linewidth=0
    )
    ax.locator_params(nbins=5)
    ax.set_zlabel(f"log10 of the {label}" if logarithmic else label)


def _curve(
    landscape: LandscapeArrays,
    ax: Any,
    metric: str,
    dataset: str | None,
    log: bool | None,
    ends: tuple[float | None, float | None],
) -> None:
    grid = landscape.grid
    chosen = list(grid.datasets.values()) if dataset is None else [grid.dataset(dataset)]
    seen: list[Floats] = []
    missing = np.zeros(grid.x.shape, dtype=bool)
    for values in chosen:
        line = _values(values, metric)
        finite = np.isfinite(line)
        missing |= ~finite
        seen.append(line[finite])
        shown = np.where(finite, line, np.nan)
        (drawn,) = ax.plot(grid.x, shown, marker=".", markersize=4, label=values.name)
        for network in landscape.networks:
            own = {"loss": network.loss, "accuracy": network.accuracy}.get(metric, {})
            # where the line gives the same, the network is on it
            if values.name in own and network.loss != network.loss_there:
                ax.plot(
                    network.at[0], own[values.name], marker="D", markerfacecolor="none",
                    color=drawn.get_color(), linestyle="none",
                    label=f"{network.role} itself, {values.name}",
                )  # fmt: skip
                mark = np.array([own[values.name]])
                seen.append(mark[np.isfinite(mark)])
        if metric == "loss":
            low, high = shown - values.stderr, shown + values.stderr
            ax.fill_between(grid.x, low, high, color=drawn.get_color(), alpha=0.2, linewidth=0)
    together = np.concatenate(seen) if seen else np.zeros(0)
    if together.size and _is_log(together, log):
        ax.set_yscale("log")
        _plain_numbers(ax.yaxis, None)
    if ends[0] is not None or ends[1] is not None:
        ax.set_ylim(*ends)
    half = _step(grid.x) / 2
    for index in np.flatnonzero(missing):
        ax.axvspan(
            grid.x[index] - half, grid.x[index] + half,
            facecolor="none", edgecolor="grey", hatch="///", linewidth=0,
        )  # fmt: skip
    ax.set_title(landscape.record.title or landscape.kind)
    ax.set_xlabel("α")
    ax.set_ylabel(_NAMES.get(metric, metric))
    ax.set_xlim(grid.x[0] - half, grid.x[-1] + half)
    if len(ax.get_lines()) > 1:
        ax.legend()


def _spectrum(landscape: LandscapeArrays, ax: Any) -> None:
    curvature = landscape.curvature
    if curvature is None:
        raise InputError(f"a {landscape.kind} has no spectrum; the curvature of a point has")
    if curvature.density is not None:
        ax.plot(curvature.density.x, curvature.density.density, label="density")
        ax.set_yscale("log")
        peak = float(np.max(curvature.density.density))
        ax.set_ylim(peak * 1e-6, peak * 3)
        ax.set_ylabel("spectral density")
    else:
        ax.set_yticks([])
    for ended, words, colour in (
        (curvature.largest, "most positive", "C3"),
        (curvature.smallest, "most negative", "C0"),
    ):
        for index, value in enumerate(ended.values):
            label = words if index == 0 else None
            ax.axvline(value, color=colour, linewidth=1, linestyle="--", label=label)
    ax.set_title(landscape.record.title or "Hessian's spectrum")
    ax.set_xlabel("eigenvalue of the Hessian")
    ax.legend()


def _path(ax: Any, landscape: LandscapeArrays) -> None:
    trajectory = landscape.trajectory
    assert trajectory is not None  # noqa: S101 - asked for where there is one
    for run in trajectory.runs:
        points = trajectory.coordinates[run.start : run.stop]
        ax.plot(
            *points.T, color="black", marker="o", markersize=3, linewidth=1.2,
            label=run.label, zorder=4,
        )  # fmt: skip


def _values(values: DatasetValues, metric: str) -> Floats:
    known: dict[str, Floats] = {"loss": values.loss, "stderr": values.stderr, **values.extra}
    if values.accuracy is not None:
        known["accuracy"] = values.accuracy
    if metric not in known:
        raise InputError(f"{values.name} has no {metric!r}; it has {', '.join(sorted(known))}")
    return known[metric]


def _scale(values: Any, log: bool | None, ends: tuple[float | None, float | None]) -> Any:
    from matplotlib.colors import LogNorm, Normalize

    finite = values.compressed()
    if finite.size == 0:
        return Normalize(0.0, 1.0)
    low = float(finite.min()) if ends[0] is None else ends[0]
    high = float(finite.max()) if ends[1] is None else ends[1]
    return LogNorm(low, high) if _is_log(finite, log) and low > 0 else Normalize(low, high)


def _is_log(finite: Floats, log: bool | None) -> bool:
    low, high = float(finite.min()), float(finite.max())
    if log is not None:
        if log and low <= 0:
            raise InputError("a logarithmic scale needs positive values")
        return log
    return low > 0 and high / low >= _SPAN


def _plain_numbers(axis: Any, scale: Any) -> None:
    """0.2 instead of 2 × 10⁻¹ on a logarithmic axis."""
    from matplotlib.colors import LogNorm
    from matplotlib.ticker import LogFormatter

    class Plain(LogFormatter):
        def __call__(self, x: float, pos: int | None = None) -> str:
            return f"{x:g}" if super().__call__(x, pos) else ""

    if scale is None or isinstance(scale, LogNorm):
        axis.set_major_formatter(Plain(minor_thresholds=(2, 0.5)))
        axis.set_minor_formatter(Plain(minor_thresholds=(2, 0.5)))


def _heights(scale: Any, levels: int) -> Floats:
    from matplotlib.colors import LogNorm

    count, low, high = max(2, levels), float(scale.vmin), float(scale.vmax)
    if isinstance(scale, LogNorm):
        return np.geomspace(low, high, count)
    return np.linspace(low, high, count)


def _hatch(ax: Any, x: Floats, y: Floats, missing: NDArray[np.bool_], reach: float) -> None:
    """Hatches cells to so many steps of the grid around their points."""
    from matplotlib.patches import Rectangle

    wide, high = reach * _step(x), reach * _step(y)
    for iy, ix in zip(*np.nonzero(missing), strict=True):
        cell = Rectangle((x[ix] - wide, y[iy] - high), 2 * wide, 2 * high)
        cell.set(facecolor="white", edgecolor="grey", hatch="////", linewidth=0, zorder=3)
        ax.add_patch(cell)


def _edges(axis: Floats, margin: float) -> tuple[float, float]:
    beyond = margin * _step(axis)
    return float(axis[0]) - beyond, float(axis[-1]) + beyond


def _step(axis: Floats) -> float:
    return float(axis[1] - axis[0]) if len(axis) > 1 else 1.0
