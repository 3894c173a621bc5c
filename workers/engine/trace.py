"""The trace of a symmetric operator by the estimator of a given name.

Owns the choice alone; each estimator has its own module.
"""

from __future__ import annotations

import torch

from workers.engine.errors import CurvatureNotFinite, InputInvalid
from workers.engine.hutch_plus_plus import hutch_plus_plus
from workers.engine.hutchinson import deflated_hutchinson, hutchinson
from workers.engine.lanczos import KrylovBasis
from workers.engine.operators import SymmetricOperator, dense
from workers.engine.trace_estimate import TraceEstimate, TraceMethod, exactly
from workers.engine.xtrace import xtrace


def estimate_trace(
    operator: SymmetricOperator,
    products: int,
    *,
    method: TraceMethod = TraceMethod.DEFLATED,
    basis: KrylovBasis | None = None,
    seed: int = 0,
) -> TraceEstimate:
    """tr A from at most `products` products; exactly, where a sketch would have a product for
    every parameter.

    Args:
        basis: of a Lanczos run on the same operator; `deflated` needs it, the others pass it by.

    Raises:
        InputInvalid: too few products for the method, or no basis where one is needed.
        CurvatureNotFinite: a product held NaN or infinities.
    """
    match method:
        case TraceMethod.DEFLATED:
            if basis is None:
                raise InputInvalid("the deflated estimator needs the basis of a Lanczos run")
            return deflated_hutchinson(operator, basis, products, seed)
        case TraceMethod.HUTCHINSON:
            return hutchinson(operator, products, seed)
        case _ if operator.layout.size <= products:
            # Random signs in so few dimensions coincide, and sketches made of them deceive.
            return _counted(operator, method)
        case TraceMethod.HUTCH_PLUS_PLUS:
            return hutch_plus_plus(operator, products, seed)
        case TraceMethod.XTRACE:
            return xtrace(operator, products, seed)


def _counted(operator: SymmetricOperator, method: TraceMethod) -> TraceEstimate:
    """The diagonal itself, one product for each parameter."""
    diagonal = dense(operator).diagonal().double()
    if not bool(torch.isfinite(diagonal).all()):
        raise CurvatureNotFinite("a Hessian-vector product is not finite")
    return exactly(float(diagonal.sum()), products=operator.layout.size, method=method)
