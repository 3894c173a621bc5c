"""The spectral density by stochastic Lanczos quadrature.

Owns the estimate and its smoothed curve. Golub and Welsch (1969); Ubaru, Chen and Saad, "Fast
Estimation of tr(f(A)) via Stochastic Lanczos Quadrature", SIMAX 2017. For a unit vector v, the
Lanczos run from v has the Ritz values θ_j and the first components τ_j of T's eigenvectors, and

    vᵀ f(A) v ≈ Σ_j τ_j² f(θ_j)         exactly so for polynomials of degree < 2·steps

so over random v, whose mean of vᵀf(A)v is tr f(A) / size, the nodes θ_j with weights τ_j² / probes
are a density of eigenvalues that integrates to 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import ndtr

from workers.engine.errors import InputInvalid
from workers.engine.lanczos import LanczosRun
from workers.engine.operators import SymmetricOperator, rademacher_block

Array = NDArray[np.float64]

# How many widths of the smoothing Gaussian the curve goes beyond the outermost nodes.
_MARGIN = 6.0


@dataclass(frozen=True)
class DensityCurve:
    """A smoothed density.

    Attributes:
        x: eigenvalues at the middle of each bin, shape (points,), evenly spaced.
        density: mean density over the bin; Σ density · spacing = 1.
        width: standard deviation of the smoothing Gaussian.
    """

    x: Array
    density: Array
    width: float


@dataclass(frozen=True)
class SpectralDensity:
    """Raw quadrature.

    Attributes:
        nodes: Ritz values, shape (n,), probe by probe and rising within each.
        weights: shape (n,), not negative; they add up to 1.
        probe: which probe a node is of, shape (n,).
        products: matrix-vector products spent.
    """

    nodes: Array
    weights: Array
    probe: NDArray[np.int64]
    products: int

    @property
    def probes(self) -> int:
        return int(self.probe.max()) + 1

    def curve(self, points: int = 512, width: float | None = None) -> DensityCurve:
        """The density with each node spread to a Gaussian, as means over `points` bins.

        Args:
            width: standard deviation; by default one hundredth of the nodes' range.

        Raises:
            InputInvalid: no points, or a width that is not positive.
        """
        low, high = float(self.nodes.min()), float(self.nodes.max())
        if width is None:
            width = 0.01 * (high - low) or 0.01 * abs(high) or 1.0
        if points < 1 or not 0 < width < math.inf:
            raise InputInvalid(f"a curve needs points and a positive width, not {points}, {width}")
        edges = np.linspace(low - _MARGIN * width, high + _MARGIN * width, points + 1)
        below = np.zeros(points + 1)
        for node, weight in zip(self.nodes, self.weights, strict=True):
            below += weight * ndtr((edges - node) / width)
        spacing = edges[1] - edges[0]
        return DensityCurve((edges[1:] + edges[:-1]) / 2, np.diff(below) / spacing, width)


def spectral_density(
    operator: SymmetricOperator,
    *,
    probes: int = 8,
    steps: int = 64,
    seed: int = 0,
    at_once: int | None = None,
) -> SpectralDensity:
    """The density from `probes` Lanczos runs of at most `steps` steps from vectors of signs.

    `at_once` runs, or all of them, go in step, so that their products form blocks. Memory:
    at_once · steps vectors, and one for each probe.

    Raises:
        InputInvalid: no probes or no steps.
        CurvatureNotFinite: a product held NaN or infinities.
    """
    if probes < 1 or steps < 1:
        raise InputInvalid(f"a density needs probes and steps, not {probes} and {steps}")
    starts = rademacher_block(operator, probes, seed, "density")
    together = max(1, probes if at_once is None else at_once)
    products = 0
    nodes, weights = [], []
    for first in range(0, probes, together):
        runs = [LanczosRun(operator, start=start) for start in starts[first : first + together]]
        products += _go(operator, runs, steps)
        for run in runs:
            values, columns, _ = run.basis().ritz()
            nodes.append(values)
            weights.append(columns[0] ** 2 / probes)
    probe = [np.full(len(values), index, dtype=np.int64) for index, values in enumerate(nodes)]
    return SpectralDensity(
        np.concatenate(nodes), np.concatenate(weights), np.concatenate(probe), products
    )


def _go(operator: SymmetricOperator, runs: list[LanczosRun], steps: int) -> int:
    """Takes runs `steps` further, in step; the products spent."""
    products = 0
    going = runs
    for _ in range(min(steps, operator.layout.size)):
        block = operator.apply(torch.stack([run.wanted() for run in going]))
        for run, product in zip(going, block, strict=True):
            run.receive(product)
        products += len(going)
        going = [run for run in going if not run.exhausted]
        if not going:
            break
    return products
