"""The trace from random signs, plain and with a known subspace taken out.

Owns Hutchinson's estimator (1990) and its deflated form. With independent signs z,
E zᵀAz = tr A, and the variance is 2 Σ_{i≠j} A_ij². With orthonormal rows V and P = I − VᵀV,

    tr A = tr(V A Vᵀ) + tr(P A P)

where the first term is known exactly and only the second is left to chance. For the basis of a
Lanczos run V A Vᵀ = T, so its trace costs no product, and the run's Ritz vectors, which hold the
large eigenvalues, span the same space: what is left has a small norm.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from workers.engine.errors import CurvatureNotFinite, InputInvalid
from workers.engine.lanczos import KrylovBasis
from workers.engine.operators import SymmetricOperator, rademacher_block
from workers.engine.trace_estimate import TraceEstimate, TraceMethod, exactly, from_samples

# Probes that are held in memory at once.
_CHUNK = 8


def hutchinson(operator: SymmetricOperator, products: int, seed: int = 0) -> TraceEstimate:
    """tr A from `products` probes, at least two.

    Raises:
        InputInvalid: fewer than two products.
        CurvatureNotFinite: a product held NaN or infinities.
    """
    samples = quadratic_forms(operator, products, seed, "hutchinson", None)
    return from_samples(samples, known=0.0, products=products, method=TraceMethod.HUTCHINSON)


def deflated_hutchinson(
    operator: SymmetricOperator, basis: KrylovBasis, products: int, seed: int = 0
) -> TraceEstimate:
    """tr A from `products` probes outside the Krylov basis of a run on the same operator.

    Unbiased whatever the basis, since its start is independent of the probes.

    Raises:
        InputInvalid: fewer than two products.
        CurvatureNotFinite: a product held NaN or infinities.
    """
    known = float(basis.diagonal.sum())
    if len(basis.diagonal) == operator.layout.size:
        return exactly(known, products=0, method=TraceMethod.DEFLATED)
    samples = quadratic_forms(operator, products, seed, "hutchinson", basis.blocks)
    return from_samples(samples, known=known, products=products, method=TraceMethod.DEFLATED)


def quadratic_forms(
    operator: SymmetricOperator,
    count: int,
    seed: int,
    purpose: str,
    removed: tuple[Tensor, ...] | None,
) -> NDArray[np.float64]:
    """(Pz)ᵀA(Pz) for `count` vectors of signs, shape (count,); P takes out the rows of `removed`.

    Raises:
        InputInvalid: fewer than two are asked for.
        CurvatureNotFinite: one is NaN or infinite.
    """
    if count < 2:
        raise InputInvalid(f"a standard error needs at least two probes, not {count}")
    forms: list[Tensor] = []
    for start in range(0, count, _CHUNK):
        chunk = range(start, min(start + _CHUNK, count))
        probes = torch.cat([rademacher_block(operator, 1, seed, f"{purpose} {i}") for i in chunk])
        for rows in removed or ():
            probes = probes - (probes @ rows.T) @ rows
        forms.append((probes.double() * operator.apply(probes).double()).sum(1).cpu())
    values: NDArray[np.float64] = torch.cat(forms).numpy()
    if not np.isfinite(values).all():
        raise CurvatureNotFinite("a Hessian-vector product is not finite")
    return values
