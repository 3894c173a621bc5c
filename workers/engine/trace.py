"""The trace of a symmetric operator by the estimator of a given name.

Owns the choice alone; each estimator has its own module.
"""

from __future__ import annotations

from workers.engine.errors import InputInvalid
from workers.engine.hutch_plus_plus import hutch_plus_plus
from workers.engine.hutchinson import deflated_hutchinson, hutchinson
from workers.engine.lanczos import KrylovBasis
from workers.engine.operators import SymmetricOperator
from workers.engine.trace_estimate import TraceEstimate, TraceMethod
from workers.engine.xtrace import xtrace


def estimate_trace(
    operator: SymmetricOperator,
    products: int,
    *,
    method: TraceMethod = TraceMethod.DEFLATED,
    basis: KrylovBasis | None = None,
    seed: int = 0,
) -> TraceEstimate:
    """tr A from at most `products` products.

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
        case TraceMethod.HUTCH_PLUS_PLUS:
            return hutch_plus_plus(operator, products, seed)
        case TraceMethod.XTRACE:
            return xtrace(operator, products, seed)
