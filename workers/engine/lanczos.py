"""Both ends of a spectrum from one Lanczos run with full reorthogonalisation.

Owns the iteration, its residuals and its stopping rule. Lanczos (1950); Paige (1972) on why the
basis must be kept orthogonal; Parlett, "The Symmetric Eigenvalue Problem", chapter 13: with the
Krylov basis V, A V = V T + β v eᵀ, and a Ritz pair (θ, V s) of T s = θ s has the residual norm
‖A V s − θ V s‖ = |β s_last|. An eigenvalue lies within that distance of θ, and within
residual² / gap where the rest of the spectrum is `gap` away.

One start vector sees one vector of each eigenspace: an eigenvalue of multiplicity m is reported
once, unless rounding brings its copies in.
"""

from __future__ import annotations

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


@dataclass(frozen=True)
class RitzPair:
    """An approximate eigenvalue.

    Attributes:
        value: the Ritz value.
        residual: ‖A u − value·u‖ for the unit Ritz vector u, and at least what rounding of the
            products leaves open: the recurrence itself falls below that, to nothing.
        converged: residual ≤ tolerance · (largest |Ritz value|).
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
        diagonal, offdiagonal: of T, shapes (m,) and (m − 1,). T_ii = v_iᵀ A v_i.
        last: β after the last step: the norm of what the next basis vector would be.
    """

    blocks: tuple[Tensor, ...]
    diagonal: Array
    offdiagonal: Array
    last: float

    def ritz(self) -> tuple[Array, Array, Array]:
        """Ritz values in rising order (m,), eigenvectors of T as columns (m, m), residuals (m,)."""
        values, columns = np.linalg.eigh(
            np.diag(self.diagonal) + np.diag(self.offdiagonal, 1) + np.diag(self.offdiagonal, -1)
        )
        return values, columns, np.abs(self.last * columns[-1])

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
    """Both ends, most extreme first.

    Attributes:
        largest, smallest: most positive and most negative eigenvalues.
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
    """The `largest` most positive and `smallest` most negative eigenvalues.

    Stops when all of them have converged, or after `max_products`, in which case those that have
    not say so. Memory: one vector per product.

    >>> spectrum = spectrum_ends(DenseOperator(torch.diag(torch.tensor([3.0, 1.0, -2.0]))))
    >>> round(spectrum.largest[0].value, 4), round(spectrum.smallest[0].value, 4)
    (3.0, -2.0)

    Args:
        tolerance: for residuals, relative to the largest |Ritz value|.
        start: shape (size,); by default Gaussian from `seed`.
        vectors: whether to form Ritz vectors.

    Raises:
        InputInvalid: more eigenvalues are asked for than there are or than `max_products` can
            give, or a tolerance that the operator's type cannot resolve.
        CurvatureNotFinite: a product held NaN or infinities.
    """
    wanted = largest + smallest
    size = operator.layout.size
    if largest < 0 or smallest < 0 or wanted == 0 or wanted > size:
        raise InputInvalid(
            f"{largest} largest and {smallest} smallest eigenvalues were asked for; "
            f"there are {size}"
        )
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
    limit = min(max_products, size)
    while run.steps < limit:
        run.step()
        # Solving T at every step costs little beside a product, but not nothing: look every
        # other step once it has some size.
        if run.steps >= wanted and (run.steps < 20 or run.steps % 2 == 0):
            values, _, residuals = run.basis().ritz()
            ends = [*range(smallest), *range(run.steps - largest, run.steps)]
            if bool(np.all(residuals[ends] <= tolerance * np.abs(values).max())):
                break
    basis = run.basis()
    values, columns, residuals = basis.ritz()
    scale = tolerance * float(np.abs(values).max())

    def pair(i: int) -> RitzPair:
        vector = basis.combine(columns[:, i]) if vectors else None
        residual = max(float(residuals[i]), finest * float(np.abs(values).max()))
        return RitzPair(float(values[i]), residual, bool(residuals[i] <= scale), vector)

    last = len(values) - 1
    return Spectrum(
        largest=tuple(pair(last - i) for i in range(largest)),
        smallest=tuple(pair(i) for i in range(smallest)),
        products=run.steps,
        tolerance=tolerance,
        basis=basis,
    )


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
        self._size = operator.layout.size
        self._epsilon = torch.finfo(operator.dtype).eps
        self._seed = seed
        if start is None:
            start = gaussian_block(operator, 1, seed, "lanczos start")[0]
        elif tuple(start.shape) != (self._size,):
            raise InputInvalid(
                f"the start has shape {tuple(start.shape)}, the operator needs ({self._size},)"
            )
        norm = float(torch.linalg.vector_norm(start))
        if not 0 < norm < float("inf"):
            raise InputInvalid("the start vector is zero or not finite")
        self._next: Tensor = start.to(operator.device, operator.dtype) / norm
        self._blocks: list[Tensor] = []
        self._alphas: list[float] = []
        self._betas: list[float] = []
        self._restarts = 0

    @property
    def steps(self) -> int:
        return len(self._alphas)

    @property
    def exhausted(self) -> bool:
        """Whether the start's Krylov space has been found whole: β fell to rounding."""
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

        Raises:
            CurvatureNotFinite: it holds NaN or infinities.
        """
        m = self.steps
        if m == self._size:
            raise InputInvalid("the basis is complete: there is no further step")
        if m % _ROWS == 0:
            rows = min(_ROWS, self._size - m)
            self._blocks.append(
                torch.empty(
                    (rows, self._size), dtype=self._operator.dtype, device=self._operator.device
                )
            )
        self._blocks[-1][m % _ROWS].copy_(self._next)
        alpha = float(torch.dot(self._next, product))
        rest = _against(product[None], self._rows(m + 1))[0]
        beta = float(torch.linalg.vector_norm(rest))
        if not (np.isfinite(alpha) and np.isfinite(beta)):
            raise CurvatureNotFinite("a Hessian-vector product is not finite")
        self._alphas.append(alpha)
        scale = max([abs(a) for a in self._alphas] + self._betas)
        if m + 1 == self._size:
            self._betas.append(0.0)
        elif beta <= _ROUNDING_UNITS * self._epsilon * scale:
            self._betas.append(0.0)
            self._next = self._fresh()
        else:
            self._betas.append(beta)
            self._next = rest / beta

    def basis(self) -> KrylovBasis:
        """The basis as it stands, after one step at least. Shares memory with the run."""
        return KrylovBasis(
            self._rows(self.steps),
            np.array(self._alphas),
            np.array(self._betas[:-1]),
            self._betas[-1],
        )

    def _rows(self, count: int) -> tuple[Tensor, ...]:
        *full, last = self._blocks
        return (*full, last[: count - _ROWS * len(full)])

    def _fresh(self) -> Tensor:
        """A random unit vector orthogonal to an invariant subspace, to go on outside it."""
        self._restarts += 1
        purpose = f"lanczos restart {self._restarts}"
        vector = gaussian_block(self._operator, 1, self._seed, purpose)
        vector = _against(vector, self._rows(self.steps))[0]
        unit: Tensor = vector / torch.linalg.vector_norm(vector)
        return unit


def _against(block: Tensor, basis: tuple[Tensor, ...]) -> Tensor:
    """Rows of `block` without their parts in `basis`. Twice is enough (Giraud et al., 2005)."""
    for _ in range(2):
        for rows in basis:
            block = block - (block @ rows.T) @ rows
    return block
