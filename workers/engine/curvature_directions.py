"""The directions that curvature knows: the gradient and the Hessian's extreme eigenvectors.

Owns how each comes to be and its sign, and the curvature along any direction. Directions are
float64 on the CPU and unscaled; parameters held fixed do not move.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from workers.engine.direction import Direction
from workers.engine.directions import from_vector
from workers.engine.errors import CurvatureNotFinite, DirectionInvalid, InputInvalid
from workers.engine.lanczos import RitzPair
from workers.engine.network import Network
from workers.engine.objective import Gradient
from workers.engine.operators import SymmetricOperator


def gradient_direction(network: Network, gradient: Gradient) -> Direction:
    """∇L itself, uphill: its sign is the loss's, and no convention touches it.

    Raises:
        DirectionInvalid: the gradient is zero or not finite.
    """
    vector = gradient.vector
    if not bool(torch.isfinite(vector).all()):
        raise DirectionInvalid("the gradient holds values that are not finite")
    if not bool(vector.any()):
        raise DirectionInvalid("the gradient is zero: it is no direction")
    return from_vector(network, gradient.layout.views(vector))


def eigenvector_direction(
    network: Network, operator: SymmetricOperator, pair: RitzPair
) -> Direction:
    """A Ritz vector of unit length, turned so that its largest component is positive.

    Whether it is an eigenvector is `pair.converged`: the caller says so with the result.

    Raises:
        DirectionInvalid: the pair holds no vector.
    """
    if pair.vector is None:
        raise DirectionInvalid("the run formed no Ritz vectors; ask for them")
    vector = pair.vector
    largest = vector[vector.abs().argmax()]
    return from_vector(network, operator.layout.views(vector if largest >= 0 else -vector))


@dataclass(frozen=True)
class DirectionalCurvature:
    """dᵀHd / dᵀd: the second derivative of L along d / ‖d‖.

    Attributes:
        value: the quotient.
        norm: ‖d‖ over the operator's parameters.
    """

    value: float
    norm: float


def curvature_along(
    operator: SymmetricOperator, directions: Sequence[Direction]
) -> tuple[DirectionalCurvature, ...]:
    """Of each direction, over the operator's parameters, for one product each, as one block.

    Raises:
        InputInvalid: none is given, or one is zero there.
        CurvatureNotFinite: a product held NaN or infinities.
    """
    if not directions:
        raise InputInvalid("no direction is given")
    block = torch.stack(
        [
            operator.layout.flatten(d.parameters, torch.float64, torch.device("cpu"))
            for d in directions
        ]
    )
    norms = torch.linalg.vector_norm(block, dim=1)
    if not bool((norms > 0).all()):
        raise InputInvalid("a direction is zero over the parameters of the curvature")
    units = (block / norms[:, None]).to(operator.device, operator.dtype)
    forms: Tensor = (units.double() * operator.apply(units).double()).sum(1).cpu()
    if not bool(torch.isfinite(forms).all()):
        raise CurvatureNotFinite("a Hessian-vector product is not finite")
    return tuple(
        DirectionalCurvature(float(form), float(norm))
        for form, norm in zip(forms, norms, strict=True)
    )
