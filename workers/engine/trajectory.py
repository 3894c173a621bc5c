"""The path that training took, and the plane that shows the most of it.

Owns the principal plane of a trajectory and the projection of a trajectory on any plane. Streams:
every pass reads each checkpoint once, a few hundred thousand elements of all checkpoints at a
time, so that memory is a few checkpoints' (the two axes and a working block), whatever their
number.

With rows m_i = θ_i − θ_c for a centre θ_c (the final checkpoint), M = [m_0; …; m_{n−1}]:

    centre "final"  the axes are the leading right singular vectors of M itself, uncentred, as the
                    paper describes (Li et al. 2018, section 7); share_k = σ_k² / Σσ²
    centre "mean"   those of M with its mean row subtracted, the final checkpoint's zero row
                    included: principal component analysis as the published code does it

Both come from the n×n Gram matrix G = M Mᵀ = U Σ² Uᵀ, since v_k = Mᵀu_k / σ_k. The sign of an
axis is such that its largest component is positive.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from workers.engine.direction import Direction
from workers.engine.errors import InputInvalid
from workers.engine.gaussian import GaussianStream
from workers.engine.network import Network

Array = NDArray[np.float64]

#: Working block: this many bytes of float64 over all checkpoints together.
_BLOCK_BYTES = 24 << 20


class CheckpointSource(Protocol):
    """Checkpoints in order, readable in parts."""

    @property
    def count(self) -> int: ...

    def read(self, index: int, name: str, start: int, stop: int) -> Tensor:
        """Elements `start` to `stop` of tensor `name`, flattened row by row: one dimension."""
        ...


class Centring(StrEnum):
    """`final`: M as it is. `mean`: its mean row subtracted."""

    FINAL = "final"
    MEAN = "mean"


@dataclass(frozen=True)
class Projection:
    """A trajectory seen on a plane.

    Attributes:
        coordinates: shape (n, 2), least squares: m_i ≈ a_i x + b_i y.
        residuals: shape (n,), ‖m_i − a_i x − b_i y‖ / ‖m_i‖; 0 for the centre itself.
        distances: shape (n,), ‖m_i‖.
        share: Σ‖a_i x + b_i y‖² / Σ‖m_i‖²: how much of the path's variation the plane holds.
    """

    coordinates: Array
    residuals: Array
    distances: Array
    share: float


@dataclass(frozen=True)
class PrincipalPlane:
    """The plane, and the trajectory on it.

    Attributes:
        x, y: unit directions; parameters that were left out are zero.
        explained_variance: shape (n,), all ratios in falling order; the first two are the axes'.
        projection: of every checkpoint, in the source's order.
        weights: shape (n, 2): the axes as combinations Σ_i w_i m_i of the checkpoints, which says
            how anything else of theirs (buffers) moves along the axes.
    """

    x: Direction
    y: Direction
    explained_variance: Array
    projection: Projection
    weights: Array


def principal_plane(
    network: Network,
    source: CheckpointSource,
    *,
    centre: int = -1,
    centring: Centring = Centring.FINAL,
    names: Sequence[str] | None = None,
    dtype: torch.dtype = torch.float32,
) -> PrincipalPlane:
    """The plane that holds the most of a trajectory's variation. Reads every checkpoint twice.

    Args:
        network: whose parameters the checkpoints hold.
        source: one run, or several one after the other for a common plane.
        centre: index of the checkpoint that everything is relative to.
        names: the parameters to look at; all by default.
        dtype: of the axes returned.

    Raises:
        InputInvalid: the checkpoints do not span a plane, or hold values that are not finite.
    """
    n = source.count
    rows = _Rows(network, source, centre, names)
    gram = np.zeros((n, n))
    for block in rows.blocks():
        gram += block.values @ block.values.T
    if not np.isfinite(gram).all():
        bad = [i for i in range(n) if not np.isfinite(gram[i, i])]
        raise InputInvalid(f"checkpoints {bad} hold weights that are not finite")
    right: Array = np.eye(n)
    if centring is Centring.MEAN:
        right = right - 1.0 / n
    values, vectors = np.linalg.eigh(right @ gram @ right)
    values, vectors = np.maximum(values[::-1], 0.0), vectors[:, ::-1]
    # Rounding of the Gram matrix is of this size: what lies below is no direction of the path.
    if n < 3 or values[1] <= 1e-13 * n * values[0]:
        raise InputInvalid(
            "the checkpoints do not span a plane: at least three are needed that do not lie on "
            "one line; use an interpolation for a line"
        )
    # Axis k is Mᵀ w_k, so the coordinates M Mᵀ w_k are known before the axes are.
    weights: Array = right @ vectors[:, :2] / np.sqrt(values[:2])
    dots = gram @ weights
    plane = _Axes(network, rows.names, dtype)
    squares = np.zeros(n)
    for block in rows.blocks():
        axes = block.values.T @ weights
        plane.fill(block, axes)
        # The off-plane part is summed from its own small numbers: a difference of squares would
        # lose half the digits where a checkpoint lies nearly in the plane.
        squares += np.square(block.values - dots @ axes.T).sum(1)
    signs = plane.orient()
    return PrincipalPlane(
        x=plane.direction(0),
        y=plane.direction(1),
        explained_variance=values / values.sum(),
        projection=_projection(dots * signs, np.eye(2), np.diag(gram).copy(), squares),
        weights=weights * signs,
    )


def project(
    network: Network,
    source: CheckpointSource,
    x: Direction,
    y: Direction,
    *,
    centre: int = -1,
    names: Sequence[str] | None = None,
) -> Projection:
    """A trajectory on a given plane, whose axes need be neither unit nor orthogonal.

    Raises:
        InputInvalid: the two directions are parallel, or one is zero.
    """
    rows = _Rows(network, source, centre, names)
    n = source.count
    dots, gram, norms = np.zeros((n, 2)), np.zeros((2, 2)), np.zeros(n)
    for block in rows.blocks():
        axes = _axes_of(block, x, y)
        dots += block.values @ axes
        gram += axes.T @ axes
        norms += np.square(block.values).sum(1)
    if np.linalg.matrix_rank(gram, tol=1e-12 * float(gram.max()), hermitian=True) < 2:
        raise InputInvalid("the two directions are parallel or zero: they span no plane")
    coordinates = np.asarray(np.linalg.solve(gram, dots.T).T, dtype=np.float64)
    squares = np.zeros(n)
    for block in rows.blocks():
        squares += np.square(block.values - coordinates @ _axes_of(block, x, y).T).sum(1)
    return _projection(coordinates, gram, norms, squares)


def random_plane_share(
    network: Network,
    source: CheckpointSource,
    seeds: Sequence[int],
    *,
    centre: int = -1,
    names: Sequence[str] | None = None,
) -> Array:
    """The share of the path's variation on the plane of each seed's two random directions.

    Blocks of a tensor follow each other, so each random direction is drawn as it is needed and
    never held whole. In P dimensions about 2/P is to be expected, which is why random planes show
    nothing of a path (Li et al. 2018, section 7.1). One pass over the checkpoints for all seeds;
    shape (seeds,).
    """
    rows = _Rows(network, source, centre, names)
    n, k = source.count, 2 * len(seeds)
    dots, gram, total = np.zeros((n, k)), np.zeros((k, k)), 0.0
    streams: list[GaussianStream] = []
    for block in rows.blocks():
        if block.start == 0:
            shape = network.parameters[block.name].shape
            streams = [
                GaussianStream(seed, axis, block.name, shape) for seed in seeds for axis in "xy"
            ]
        count = block.stop - block.start
        axes = np.stack([stream.take(count) for stream in streams], axis=1)
        dots += block.values @ axes
        gram += axes.T @ axes
        total += float(np.square(block.values).sum())
    shares = []
    for i in range(0, k, 2):
        pair = slice(i, i + 2)
        part = np.linalg.solve(gram[pair, pair], dots[:, pair].T)
        shares.append(float((dots[:, pair].T * part).sum()) / total if total > 0 else math.nan)
    return np.array(shares)


def path_extent(
    coordinates: Array, margin: float = 0.3
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Ranges of x and y that hold the path and `margin` of its length on either side.

    A path without extent along an axis gets the other axis's, so that no range is empty.
    """
    low, high = coordinates.min(0), coordinates.max(0)
    length = high - low
    length = np.where(length > 0, length, length.max() if length.max() > 0 else 1.0)
    first, last = low - margin * length, high + margin * length
    return (float(first[0]), float(last[0])), (float(first[1]), float(last[1]))


@dataclass(frozen=True)
class _Block:
    """m_i restricted to elements `start` to `stop` of one parameter: shape (n, stop − start)."""

    name: str
    start: int
    stop: int
    values: Array


class _Rows:
    """M, a block of columns at a time."""

    def __init__(
        self,
        network: Network,
        source: CheckpointSource,
        centre: int,
        names: Sequence[str] | None,
    ) -> None:
        if source.count < 1:
            raise InputInvalid("there are no checkpoints")
        if not -source.count <= centre < source.count:
            raise InputInvalid(f"there is no checkpoint {centre} of {source.count} to centre on")
        wanted = set(network.parameters if names is None else names)
        self.names = [name for name in network.parameters if name in wanted]
        self._network = network
        self._source = source
        self._centre = centre % source.count

    def blocks(self) -> Iterator[_Block]:
        n = self._source.count
        length = max(1, _BLOCK_BYTES // (8 * n))
        for name in self.names:
            count = math.prod(self._network.parameters[name].shape)
            for start in range(0, count, length):
                stop = min(start + length, count)
                values = np.empty((n, stop - start))
                for i in range(n):
                    part = self._source.read(i, name, start, stop)
                    values[i] = part.to(torch.float64).numpy()
                values -= values[self._centre].copy()
                yield _Block(name, start, stop, values)


class _Axes:
    """The two axes while they are being made."""

    def __init__(self, network: Network, names: Sequence[str], dtype: torch.dtype) -> None:
        self._network = network
        self._flat = {
            name: torch.zeros((2, math.prod(network.parameters[name].shape)), dtype=dtype)
            for name in names
        }
        self._dtype = dtype
        self._largest = np.zeros(2)

    def fill(self, block: _Block, axes: Array) -> None:
        self._flat[block.name][:, block.start : block.stop] = torch.from_numpy(axes.T)
        for k in range(2):
            peak = axes[np.argmax(np.abs(axes[:, k])), k]
            if abs(peak) > abs(self._largest[k]):
                self._largest[k] = peak

    def orient(self) -> Array:
        """Turns each axis so that its largest component is positive; returns the signs applied."""
        signs: Array = np.where(self._largest < 0, -1.0, 1.0)
        for flat in self._flat.values():
            for k in range(2):
                if signs[k] < 0:
                    flat[k].neg_()
        return signs

    def direction(self, k: int) -> Direction:
        specs = self._network.parameters
        return Direction(
            {
                name: (
                    self._flat[name][k].reshape(spec.shape)
                    if name in self._flat
                    else torch.zeros(spec.shape, dtype=self._dtype)
                )
                for name, spec in specs.items()
            }
        )


def _axes_of(block: _Block, x: Direction, y: Direction) -> Array:
    return np.stack(
        [
            d.parameters[block.name]
            .detach()
            .reshape(-1)[block.start : block.stop]
            .to("cpu", torch.float64)
            .numpy()
            for d in (x, y)
        ],
        axis=1,
    )


def _projection(coordinates: Array, gram: Array, norms: Array, squares: Array) -> Projection:
    """`norms` and `squares` are ‖m_i‖² and the off-plane ‖m_i − …‖²."""
    distances: Array = np.sqrt(norms)
    with np.errstate(invalid="ignore", divide="ignore"):
        residuals = np.where(distances > 0, np.sqrt(squares) / distances, 0.0)
    inside = float(np.einsum("ij,jk,ik->", coordinates, gram, coordinates))
    total = float(norms.sum())
    return Projection(coordinates, residuals, distances, inside / total if total > 0 else math.nan)
