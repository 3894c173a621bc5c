"""Both ends of a spectrum, multiplicities included, from one Lanczos basis.

Owns the iteration, its residuals and its stopping rule. Lanczos (1950); Paige (1972) on why the
basis must be kept orthogonal; Parlett, "The Symmetric Eigenvalue Problem", chapter 13: with the
Krylov basis V, A V = V T + β v eᵀ, and a Ritz pair (θ, V s) of T s = θ s has the residual norm
‖A V s − θ V s‖ = |β s_last|. An eigenvalue lies within that distance of θ, and within
residual² / gap where the rest of the spectrum is `gap` away.

**Multiplicities.** One start vector sees one vector of each eigenspace, so that an eigenvalue of
multiplicity m shows once, and of a cluster closer than the tolerance one mixture. What a start
cannot see is orthogonal to all of its Krylov space. Where more than one eigenvalue of an end is
asked for, a run that has converged is therefore followed by another, a *segment* of the same basis,
from a random vector orthogonal to everything before: Lanczos on A restricted to the complement. The
projection of A on the whole basis is T of each segment along the diagonal, and one row beside it
for what a segment left behind. Segments follow each other until one has changed none of the
eigenvalues asked for by more than the tolerance; that one also bears witness that nothing larger
(smaller) is missing.

**What `converged` means.** The residual is within the tolerance, and nothing beyond the value is
missing but with small probability. No finite number of products proves the latter of an operator
that is known by its products alone; it rests on starts being random:

- The first value of an end. A start's part along an eigenvector is less than δ times that along
  another one with a probability of about δ, so a run from it takes another eigenvalue for the first
  only where the part is so small that it has not grown in all the run's steps; and in a cluster
  that the tolerance does not resolve, of which the Ritz vector is a mixture, the first lies farther
  out than residual / δ with a probability of about δ. Copies of it do not change it, so none are
  looked for.
- The others. The last segment's highest Ritz value ρ either converged as well, at or below the k-th
  value found (the same argument, for the complement), or lies so far below it that an eigenvalue of
  the complement above the k-th one is excluded with a probability of 1 − 1e-6 at least:
  Kuczyński and Woźniakowski (SIMAX 13, 1992, theorem 4.2) show for a uniformly random start that
  after m steps (λ_max − ρ) / (λ_max − λ_min) > ε has a probability of at most
  1.648 √n exp(−√ε (2m − 1)). λ_min is taken from the Ritz values, which reach it from above.

A value whose residual is small while the products did not suffice for the last segment is not
called converged, unless it is the first of its end.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from workers.engine.errors import CurvatureNotFinite, InputInvalid
from workers.engine.operators import SymmetricOperator, gaussian_block

Array = NDArray[np.float64]

# The basis grows by so many vectors at a time, so that memory follows the steps taken.
_ROWS = 16
# A residual is known no better than the products are: some units in their last place.
_ROUNDING_UNITS = 10
# After so many steps a segment that was to finish what others left behind begins anew.
_PATIENCE = 8
# With more than this probability of something missing a segment goes on.
_CHANCE = 1e-6


@dataclass(frozen=True)
class RitzPair:
    """An approximate eigenvalue.

    Attributes:
        value: the Ritz value.
        residual: ‖A u − value·u‖ for the unit Ritz vector u, and at least what rounding of the
            products leaves open: the recurrence itself falls below that, to nothing.
        converged: residual ≤ tolerance · (largest |Ritz value|), and nothing beyond it is missing
            (see the module).
        vector: u, shape (size,); None where vectors were not asked for.
    """

    value: float
    residual: float
    converged: bool
    vector: Tensor | None = None


@dataclass(frozen=True)
class KrylovBasis:
    """The run itself, for estimators that build on it.

    Attributes:
        blocks: orthonormal rows v_1, v_2, …: tensors of shape (≤ 16, size), m rows in all.
        diagonal: v_iᵀ A v_i, shape (m,).
        projected: V A Vᵀ, shape (m, m): tridiagonal but for what earlier segments left behind.
        left: m columns of which only the last of each segment is not zero, (segments, m) as a
            linear map of weights: ‖A V s − V (V A Vᵀ) s‖ = ‖left · s‖.
    """

    blocks: tuple[Tensor, ...]
    diagonal: Array
    projected: Array
    left: Array

    def ritz(self) -> tuple[Array, Array, Array]:
        """Ritz values in rising order (m,), their weights as columns (m, m), residuals (m,)."""
        values, columns = np.linalg.eigh(self.projected)
        return values, columns, np.linalg.norm(self.left @ columns, axis=0)

    def combine(self, weights: Array) -> Tensor:
        """Σ weights_i v_i, shape (size,), for `weights` of shape (m,)."""
        total: Tensor | None = None
        start = 0
        for block in self.blocks:
            part = torch.from_numpy(weights[start : start + len(block)].copy())
            term = part.to(block.device, block.dtype) @ block
            total = term if total is None else total + term
            start += len(block)
        assert total is not None  # noqa: S101 - a basis has one row at least
        return total

    def remove_from(self, block: Tensor) -> Tensor:
        """Each row of `block` (k, size) without its part in the basis."""
        return _against(block, self.blocks)


@dataclass(frozen=True)
class Spectrum:
    """Both ends, most extreme first, each eigenvalue as often as its multiplicity.

    Attributes:
        largest, smallest: most positive and most negative eigenvalues. Where there are fewer
            eigenvalues than both ends have, they share some.
        products: matrix-vector products spent.
        tolerance: residuals are measured against tolerance · (largest |Ritz value|).
        basis: the Krylov basis of the run.
    """

    largest: tuple[RitzPair, ...]
    smallest: tuple[RitzPair, ...]
    products: int
    tolerance: float
    basis: KrylovBasis

    @property
    def converged(self) -> bool:
        return all(pair.converged for pair in (*self.largest, *self.smallest))


def spectrum_ends(
    operator: SymmetricOperator,
    *,
    largest: int = 1,
    smallest: int = 1,
    tolerance: float = 1e-5,
    max_products: int = 300,
    seed: int = 0,
    start: Tensor | None = None,
    vectors: bool = True,
) -> Spectrum:
    """The `largest` most positive and `smallest` most negative eigenvalues, with multiplicity.

    Stops when all of them have converged, or after `max_products`, in which case those that have
    not say so. Memory: one vector per product. One eigenvalue of an end takes no product for its
    multiplicity; several take a further segment at least, of about as many products as the first.

    >>> spectrum = spectrum_ends(DenseOperator(torch.diag(torch.tensor([3.0, 1.0, -2.0]))))
    >>> round(spectrum.largest[0].value, 4), round(spectrum.smallest[0].value, 4)
    (3.0, -2.0)
    >>> spectrum = spectrum_ends(DenseOperator(torch.eye(4)), largest=3, smallest=0)
    >>> [round(pair.value, 4) for pair in spectrum.largest]
    [1.0, 1.0, 1.0]

    Args:
        tolerance: for residuals, relative to the largest |Ritz value|.
        start: shape (size,); by default Gaussian from `seed`. What `converged` promises is for a
            random one.
        vectors: whether to form Ritz vectors.

    Raises:
        InputInvalid: more eigenvalues of an end are asked for than there are, or more than
            `max_products` can give, or a tolerance that the operator's type cannot resolve.
        CurvatureNotFinite: a product held NaN or infinities.
    """
    size = operator.layout.size
    if min(largest, smallest) < 0 or largest + smallest == 0 or max(largest, smallest) > size:
        raise InputInvalid(
            f"{largest} largest and {smallest} smallest eigenvalues were asked for; "
            f"there are {size}"
        )
    wanted = min(largest + smallest, size)
    if max_products < wanted:
        raise InputInvalid(
            f"{wanted} eigenvalues need at least as many products, not {max_products}"
        )
    finest = _ROUNDING_UNITS * torch.finfo(operator.dtype).eps
    if not finest <= tolerance < 1:
        raise InputInvalid(
            f"a tolerance of {tolerance} cannot be met in {operator.dtype}: "
            f"give {finest:.1e} or more, and less than 1"
        )
    run = LanczosRun(operator, start=start, seed=seed)
    complete = _go(run, largest, smallest, tolerance, min(max_products, size))
    basis = run.basis()
    values, columns, residuals = basis.ritz()
    last, top = len(values) - 1, float(np.abs(values).max())

    def pair(i: int, sure: bool) -> RitzPair:
        vector = basis.combine(columns[:, i]) if vectors else None
        within = sure and bool(residuals[i] <= tolerance * top)
        return RitzPair(float(values[i]), max(float(residuals[i]), finest * top), within, vector)

    return Spectrum(
        largest=tuple(pair(last - i, complete or i == 0) for i in range(largest)),
        smallest=tuple(pair(i, complete or i == 0) for i in range(smallest)),
        products=run.steps,
        tolerance=tolerance,
        basis=basis,
    )


def _go(run: LanczosRun, largest: int, smallest: int, tolerance: float, limit: int) -> bool:
    """Goes on until both ends are known; whether it is known that nothing of them is missing."""
    wanted = min(largest + smallest, run.size)
    several = largest > 1 or smallest > 1
    known: Array | None = None  # the ends before the segment that is to bear witness
    witnessed = True  # whether that one has shown all it can
    while run.steps < limit:
        run.step()
        # Solving T at every step costs little beside a product, but not nothing: look every
        # other step once it has some size.
        here = run.segment_steps
        if run.steps < wanted or not (run.exhausted or here < 20 or here % 2 == 0):
            continue
        if known is not None and not witnessed:
            if not _settled(run, known, largest, smallest, tolerance):
                continue
            witnessed = True
            here = _PATIENCE
        values, columns, residuals = run.basis().ritz()
        ends = [*range(smallest), *range(run.steps - largest, run.steps)]
        scale = tolerance * float(np.abs(values).max())
        if not bool(np.all(residuals[ends] <= scale)):
            if known is not None and here >= _PATIENCE and run.steps < limit:
                # Copies mix, and what earlier segments left behind outside the basis is not where
                # this one leads: on from the worst pair's residual itself.
                run.restart(columns[:, max(ends, key=lambda end: float(residuals[end]))])
            continue
        if not several:
            return True
        found = values[ends]
        if known is not None and bool(np.all(np.abs(found - known) <= scale)):
            return True
        known, witnessed = found, False
        if run.steps < limit:
            run.restart()
    return run.steps == run.size


def _settled(run: LanczosRun, known: Array, largest: int, smallest: int, tolerance: float) -> bool:
    """Whether the present segment shows all that the complement holds beyond the known ends.

    Args:
        known: the `smallest` smallest values, then the `largest` largest ones, rising.
    """
    if run.exhausted:
        return True
    values, residuals = run.segment_ritz()
    every = np.concatenate([known, values])
    scale = tolerance * float(np.abs(every).max())
    spread = float(every.max() - every.min())

    def quiet(end: Array, rho: Array, residual: Array) -> bool:
        """For an end's known values and the segment's, both in falling order."""
        # Ritz values are never above what they approximate: nothing below this is of the k largest
        kth = float(np.sort(np.concatenate([end, rho]))[-len(end)])
        above = int((rho > kth + scale).sum())
        if above == len(rho) or not bool(np.all(residual[:above] <= scale)):
            return False
        if residual[above] <= scale:
            return True
        # The bound is for the first value. Where others lie above, this one only decides when
        # the next segment begins.
        missed = max(kth - float(rho[above]), 0.0) / spread if spread > 0 else 0.0
        return _chance(missed, len(rho), run.size) <= _CHANCE

    bottom, top = known[:smallest], known[smallest:]
    return (largest < 2 or quiet(top[::-1], values[::-1], residuals[::-1])) and (
        smallest < 2 or quiet(-bottom, -values, residuals)
    )


def _chance(share: float, steps: int, size: int) -> float:
    """That a random start misses the largest eigenvalue by more than `share` of the spectrum's
    width in so many steps: Kuczyński and Woźniakowski's bound."""
    return 1.648 * math.sqrt(size) * math.exp(-math.sqrt(share) * (2 * steps - 1))


class LanczosRun:
    """The iteration, one product a step.

    `step` asks the operator itself. Several runs on one operator share block products by `wanted`
    and `receive` instead.
    """

    def __init__(
        self,
        operator: SymmetricOperator,
        *,
        start: Tensor | None = None,
        seed: int = 0,
    ) -> None:
        """`start` has shape (size,) and need not have unit length.

        Raises:
            InputInvalid: the start has another shape, is zero or not finite.
        """
        self._operator = operator
        self.size = operator.layout.size
        self._epsilon = torch.finfo(operator.dtype).eps
        self._seed = seed
        if start is None:
            start = gaussian_block(operator, 1, seed, "lanczos start")[0]
        elif tuple(start.shape) != (self.size,):
            raise InputInvalid(
                f"the start has shape {tuple(start.shape)}, the operator needs ({self.size},)"
            )
        norm = float(torch.linalg.vector_norm(start))
        if not 0 < norm < float("inf"):
            raise InputInvalid("the start vector is zero or not finite")
        self._next: Tensor = start.to(operator.device, operator.dtype) / norm
        self._blocks: list[Tensor] = []
        self._alphas: list[float] = []
        self._betas: list[float] = []
        self._restarts = 0
        self._first = 0  # step that the present segment began with
        self._behind: list[_Left] = []

    @property
    def steps(self) -> int:
        return len(self._alphas)

    @property
    def segment_steps(self) -> int:
        """Of the present segment alone."""
        return self.steps - self._first

    @property
    def exhausted(self) -> bool:
        """Whether the segment's Krylov space has been found whole: β fell to rounding."""
        return bool(self._betas) and self._betas[-1] == 0.0

    def step(self) -> None:
        """One product; the basis grows by one vector.

        Raises:
            CurvatureNotFinite: the product held NaN or infinities.
        """
        self.receive(self._operator.apply(self.wanted()[None])[0])

    def wanted(self) -> Tensor:
        """The vector, shape (size,), whose product is needed next."""
        return self._next

    def receive(self, product: Tensor) -> None:
        """Takes A·wanted(), shape (size,), and goes one step on.

        After a step that exhausted its segment, this one is the first of a new segment.

        Raises:
            CurvatureNotFinite: it holds NaN or infinities.
        """
        m = self.steps
        if m == self.size:
            raise InputInvalid("the basis is complete: there is no further step")
        if self.exhausted:
            self._first = m
        if m % _ROWS == 0:
            rows = min(_ROWS, self.size - m)
            self._blocks.append(
                torch.empty(
                    (rows, self.size), dtype=self._operator.dtype, device=self._operator.device
                )
            )
        self._blocks[-1][m % _ROWS].copy_(self._next)
        for left in self._behind:
            left.meet(self._next)
        alpha = float(torch.dot(self._next, product))
        rest = _against(product[None], self._rows(m + 1))[0]
        beta = float(torch.linalg.vector_norm(rest))
        if not (np.isfinite(alpha) and np.isfinite(beta)):
            raise CurvatureNotFinite("a Hessian-vector product is not finite")
        self._alphas.append(alpha)
        scale = max([abs(a) for a in self._alphas] + self._betas)
        if m + 1 == self.size:
            self._betas.append(0.0)
        elif beta <= _ROUNDING_UNITS * self._epsilon * scale:
            self._betas.append(0.0)
            self._next = self._fresh()
        else:
            self._betas.append(beta)
            self._next = rest / beta

    def restart(self, weights: Array | None = None) -> None:
        """Begins a new segment, from a random vector orthogonal to the whole basis.

        Args:
            weights: of a Ritz vector, shape (steps,): from its residual instead, whose part along
                the present segment is then not lost.
        """
        if not self.steps or (self.exhausted and weights is None):
            return  # the next vector is such a one already, and nothing is left behind
        left = [*self._behind, _Left(self.steps - 1, self._next * self._betas[-1])]
        begin: Tensor | None = None
        if weights is not None:
            residual = sum(
                (part.rest * float(weights[part.step]) for part in left),
                torch.zeros_like(self._next),
            )
            residual = _against((residual / torch.linalg.vector_norm(residual))[None], self._all())
            begin = residual[0] / torch.linalg.vector_norm(residual)
        if not self.exhausted:
            self._behind = left
        self._first = self.steps
        self._next = self._fresh() if begin is None else begin

    def basis(self) -> KrylovBasis:
        """The basis as it stands, after one step at least. Shares memory with the run."""
        m = self.steps
        projected = np.zeros((m, m))
        np.fill_diagonal(projected, self._alphas)
        for i, beta in enumerate(self._betas[:-1]):
            projected[i, i + 1] = projected[i + 1, i] = beta
        for left in self._behind:
            # the β recorded there is the length of what was left behind, met by no vector whole
            later = slice(left.step + 1, m)
            projected[left.step, later] = projected[later, left.step] = left.met
        return KrylovBasis(self._rows(m), np.array(self._alphas), projected, self._residual_map())

    def segment_ritz(self) -> tuple[Array, Array]:
        """Ritz values of the present segment alone, rising, and residuals outside all of the basis.

        They are those of A restricted to the complement of the segments before.
        """
        diagonal, beside = self._alphas[self._first :], self._betas[self._first : -1]
        values, columns = np.linalg.eigh(
            np.diag(diagonal) + np.diag(beside, 1) + np.diag(beside, -1)
        )
        return values, np.abs(self._betas[-1] * columns[-1])

    def _residual_map(self) -> Array:
        """See `KrylovBasis.left`: the columns' part outside the basis, in an orthonormal frame."""
        columns = [(left.step, left.rest) for left in self._behind]
        if self._first < self.steps:
            columns.append((self.steps - 1, self._next * self._betas[-1]))
        if len(columns) == 1:
            found = np.zeros((1, self.steps))
            found[0, columns[0][0]] = self._betas[-1]
            return found
        beside = torch.stack([vector for _, vector in columns], dim=1).double()
        frame = torch.linalg.qr(beside, mode="r").R.cpu().numpy()
        found = np.zeros((len(frame), self.steps))
        found[:, [step for step, _ in columns]] = frame
        return found

    def _all(self) -> tuple[Tensor, ...]:
        return self._rows(self.steps)

    def _rows(self, count: int) -> tuple[Tensor, ...]:
        *full, last = self._blocks
        return (*full, last[: count - _ROWS * len(full)])

    def _fresh(self) -> Tensor:
        """A random unit vector orthogonal to the basis, to go on outside it."""
        self._restarts += 1
        purpose = f"lanczos restart {self._restarts}"
        vector = gaussian_block(self._operator, 1, self._seed, purpose)
        vector = _against(vector, self._rows(self.steps))[0]
        unit: Tensor = vector / torch.linalg.vector_norm(vector)
        return unit


class _Left:
    """What a segment left behind: A v of its last vector, outside the basis.

    Attributes:
        step: that last vector's number.
        rest: its image without the part in the basis as it stands, shape (size,).
        met: vᵀ A v_step for every later vector v of the basis.
    """

    def __init__(self, step: int, rest: Tensor) -> None:
        self.step = step
        self.rest = rest
        self.met: list[float] = []

    def meet(self, vector: Tensor) -> None:
        """A vector joined the basis."""
        part = float(torch.dot(vector, self.rest))
        self.met.append(part)
        self.rest = self.rest - part * vector


def _against(block: Tensor, basis: tuple[Tensor, ...]) -> Tensor:
    """Rows of `block` without their parts in `basis`. Twice is enough (Giraud et al., 2005)."""
    for _ in range(2):
        for rows in basis:
            block = block - (block @ rows.T) @ rows
    return block
