"""A loss surface in characters, for logs and summaries that show no images."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from lossatlas.grids import Grid

#: From low to high.
_SHADES: Final = " .:-=+*#%@"
_COLUMNS: Final = 41
_ROWS: Final = 21
#: Losses further apart than this are shaded by their logarithm.
_WIDE: Final = 30.0


def text_map(grid: Grid) -> str:
    """The first data set's loss: a plane as shades, a line as a column for each point.

    The trained network is marked `o`, infinite cells `^`, others without a value `?`. Rows go from
    the highest y down. Larger grids are thinned out, the middle kept.
    """
    loss = grid.dataset().loss
    if loss.ndim == 2:
        rows = _plane(grid, loss)
    elif len(loss) > 1:
        rows = _curve(grid, loss)
    else:
        return ""
    finite = loss[np.isfinite(loss)]
    if not finite.size:
        return "\n".join(rows)
    wide = _is_wide(finite)
    scale = f"loss from {finite.min():.4g} (blank) to {finite.max():.4g} ({_SHADES[-1]})"
    if loss.ndim == 1:
        scale = f"loss from {finite.min():.4g} to {finite.max():.4g}"
    return "\n".join([*rows, scale + (", logarithmic" if wide else "")])


def _plane(grid: Grid, loss: NDArray[np.float64]) -> list[str]:
    assert grid.y is not None  # noqa: S101 - a plane has two axes
    rows, columns = _thinned(loss.shape[0], _ROWS), _thinned(loss.shape[1], _COLUMNS)
    shades = _levels(loss, len(_SHADES))[np.ix_(rows, columns)]
    values = loss[np.ix_(rows, columns)]
    drawn = [
        [_shade(int(shade), float(value)) for shade, value in zip(line, found, strict=True)]
        for line, found in zip(shades, values, strict=True)
    ]
    y, x = _zero(grid.y[rows]), _zero(grid.x[columns])
    if y is not None and x is not None:
        drawn[y][x] = "o"
    return ["".join(line) for line in drawn[::-1]]


def _curve(grid: Grid, loss: NDArray[np.float64]) -> list[str]:
    height = _ROWS // 2
    columns = _thinned(len(loss), _COLUMNS)
    levels = _levels(loss, height)[columns]
    rows = [[" "] * len(columns) for _ in range(height)]
    for column, (level, value) in enumerate(zip(levels, loss[columns], strict=True)):
        rows[int(level)][column] = "*" if np.isfinite(value) else _shade(0, float(value))
    return ["".join(row).rstrip() for row in rows[::-1]]


def _shade(level: int, value: float) -> str:
    if np.isfinite(value):
        return _SHADES[level]
    return "^" if value == np.inf else "?"


def _levels(loss: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """Each value's place among `count` even steps from the lowest to the highest."""
    finite = loss[np.isfinite(loss)]
    if not finite.size or finite.min() == finite.max():
        return np.zeros(loss.shape, dtype=np.int64)
    shown = np.where(np.isfinite(loss), loss, finite.min())
    if _is_wide(finite):
        shown, finite = np.log(shown), np.log(finite)
    part = (shown - finite.min()) / (finite.max() - finite.min())
    levels: NDArray[np.int64] = np.minimum((part * count).astype(np.int64), count - 1)
    return levels


def _is_wide(finite: NDArray[np.float64]) -> bool:
    return bool(finite.min() > 0 and finite.max() > _WIDE * finite.min())


def _thinned(count: int, most: int) -> NDArray[np.int64]:
    """At most `most` indices, evenly spread around the middle one."""
    step = -(-count // most)
    return np.arange((count // 2) % step, count, step)


def _zero(points: NDArray[np.float64]) -> int | None:
    found = np.flatnonzero(points == 0)
    return int(found[0]) if len(found) else None
