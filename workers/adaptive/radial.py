"""Radial-basis interpolants of scattered values: polyharmonic splines with a linear part.

f(p) = Σ w_i φ(‖p − p_i‖) + c·(1, p), with Σ w_i = 0 and Σ w_i p_i = 0 (Duchon 1977). One inverse of
the system serves every column of values and, by Rippa (1999), the residual at each point of the
interpolant that leaves this point out: e_i = w_i / (A⁻¹)_ii. Owns the splines; decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

Kernel = Literal["linear", "thin_plate_spline", "cubic"]
Floats = NDArray[np.float64]

#: φ(r) is −r, r² log r or r³.
KERNELS: Final[tuple[Kernel, ...]] = ("linear", "thin_plate_spline", "cubic")

#: More points than this are interpolated piece by piece: the system's cost is their cube.
_MOST_POINTS: Final = 900
#: A piece also sees the points within this share of its own extent around it.
_OVERLAP: Final = 0.25
_CHUNK: Final = 1 << 22


@dataclass(frozen=True)
class Fitted:
    """An interpolant's values at the places asked for, and its leave-one-out residuals (value less
    prediction) at the points that it was fitted to; a column for each column of values.
    """

    values: Floats
    left_out: Floats


def interpolate(points: Floats, values: Floats, at: Floats, kernel: Kernel) -> Fitted:
    """The splines through `values` (n, k) at `points` (n, 2), evaluated at `at` (m, 2).

    Of many points the plane is cut into rectangles, each interpolated from the points in it and
    around it. Points must be distinct and at least three, not on one line.
    """
    columns = values.shape[1]
    found, left_out = np.empty((len(at), columns)), np.empty((len(points), columns))
    for inside, around, mine in _pieces(points, at):
        fitted, own = _solve(points[around], values[around], kernel)
        found[mine] = fitted(at[mine])
        left_out[inside] = own[np.isin(around, inside, assume_unique=True)]
    return Fitted(found, left_out)


class _Spline:
    def __init__(
        self, points: Floats, centre: Floats, scale: float, weights: Floats, kernel: Kernel
    ) -> None:
        self._points, self._centre, self._scale = points, centre, scale
        self._weights, self._kernel = weights, kernel

    def __call__(self, at: Floats) -> Floats:
        count = len(self._points)
        out = np.empty((len(at), self._weights.shape[1]))
        step = max(1, _CHUNK // count)
        for start in range(0, len(at), step):
            part = at[start : start + step]
            tail = _tail(part, self._centre, self._scale, self._kernel)
            out[start : start + step] = (
                _phi(cdist(part, self._points) / self._scale, self._kernel) @ self._weights[:count]
                + tail @ self._weights[count:]
            )
        return out


def _solve(points: Floats, values: Floats, kernel: Kernel) -> tuple[_Spline, Floats]:
    count = len(points)
    centre = points.mean(axis=0)
    scale = float(max(np.ptp(points, axis=0).max(), 1.0))
    tail = _tail(points, centre, scale, kernel)
    degree = tail.shape[1]
    system = np.zeros((count + degree, count + degree))
    system[:count, :count] = _phi(cdist(points, points) / scale, kernel)
    system[:count, count:] = tail
    system[count:, :count] = tail.T
    inverse = np.linalg.inv(system)
    weights = inverse[:, :count] @ values
    left_out: Floats = weights[:count] / np.diag(inverse)[:count, None]
    return _Spline(points, centre, scale, weights, kernel), left_out


def _phi(r: Floats, kernel: Kernel) -> Floats:
    if kernel == "linear":
        return -r
    if kernel == "cubic":
        cubed: Floats = r**3
        return cubed
    out: Floats = np.zeros_like(r)
    np.log(r, out=out, where=r > 0)
    return r * r * out


def _tail(points: Floats, centre: Floats, scale: float, kernel: Kernel) -> Floats:
    ones = np.ones((len(points), 1))
    if kernel == "linear":
        return ones
    return np.hstack([ones, (points - centre) / scale])


def _pieces(
    points: Floats, at: Floats
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]]:
    """Rectangles that together hold everything: the points in each, those in and around it, and
    the places asked for in it; indices ascending.
    """
    everything = np.vstack([points, at])
    todo = [(everything.min(axis=0), everything.max(axis=0) + 1.0)]
    while todo:
        low, high = todo.pop()
        margin = _OVERLAP * (high - low)
        around = _within(points, low - margin, high + margin)
        if len(around) <= _MOST_POINTS:
            mine = _within(at, low, high)
            inside = _within(points, low, high)
            if len(mine) or len(inside):
                while len(around) < min(len(points), 32):
                    # a corner with few points of its own borrows from farther away
                    margin = 2 * margin
                    around = _within(points, low - margin, high + margin)
                yield inside, around, mine
            continue
        axis = int(np.argmax(high - low))
        middle = low.copy(), high.copy()
        middle[0][axis] = middle[1][axis] = (low[axis] + high[axis]) / 2
        todo += [(low, middle[1]), (middle[0], high)]


def _within(points: Floats, low: Floats, high: Floats) -> NDArray[np.intp]:
    return np.flatnonzero(((points >= low) & (points < high)).all(axis=1))
