"""The trace by Hutch++: a sketch takes out the large eigenvalues, signs estimate the rest.

Owns the estimator of Meyer, Musco, Musco and Woodruff, "Hutch++: Optimal Stochastic Trace
Estimation", SOSA 2021. A third of the products makes Y = A S for random signs S, a third measures
A inside the range Q of Y exactly, and a third probes outside it:

    tr A ≈ tr(Qᵀ A Q) + mean of zᵀ(I − QQᵀ) A (I − QQᵀ)z
"""

from __future__ import annotations

import torch

from workers.engine.errors import CurvatureNotFinite, InputInvalid
from workers.engine.hutchinson import quadratic_forms
from workers.engine.operators import SymmetricOperator, rademacher_block
from workers.engine.trace_estimate import TraceEstimate, TraceMethod, exactly, from_samples


def hutch_plus_plus(operator: SymmetricOperator, products: int, seed: int = 0) -> TraceEstimate:
    """tr A from at most `products` products, six at least.

    The standard error is that of the last third's probes, given the sketch.

    Raises:
        InputInvalid: fewer than six products.
        CurvatureNotFinite: a product held NaN or infinities.
    """
    third = products // 3
    if third < 2:
        raise InputInvalid(f"hutch++ needs at least six products, not {products}")
    width = min(third, operator.layout.size)
    sketch = operator.apply(rademacher_block(operator, width, seed, "hutch++ sketch"))
    if not bool(torch.isfinite(sketch).all()):
        raise CurvatureNotFinite("a Hessian-vector product is not finite")
    rows = torch.linalg.qr(sketch.T).Q.T.contiguous()
    known = float((rows.double() * operator.apply(rows).double()).sum())
    if width == operator.layout.size:
        return exactly(known, products=2 * width, method=TraceMethod.HUTCH_PLUS_PLUS)
    samples = quadratic_forms(operator, third, seed, "hutch++", (rows,))
    return from_samples(
        samples, known=known, products=2 * width + third, method=TraceMethod.HUTCH_PLUS_PLUS
    )
