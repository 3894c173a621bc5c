"""oneDNN's operators that PyTorch keeps to itself.

They are no part of PyTorch's interface: a release, or a build of one, may lack any of them or give
it other arguments. So each is looked up when it is first needed, and where it is not what it was,
callers compute the same values by public operators, with more passes over memory.

Owns their names and arguments, and that look-up; never what takes their place.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch


@dataclass(frozen=True)
class PrivateOperator:
    """One operator of the namespace `mkldnn`.

    Attributes:
        name, overload: as PyTorch registers it.
        arguments: their names in order, by which a changed signature is told.
    """

    name: str
    overload: str
    arguments: tuple[str, ...]

    @cached_property
    def found(self) -> Any | None:
        """The operator; None where this PyTorch has none of that name with those arguments."""
        packet = getattr(torch.ops.mkldnn, self.name, None)
        operator = getattr(packet, self.overload, None)
        if operator is None:
            return None
        arguments = tuple(argument.name for argument in operator._schema.arguments)
        return operator if arguments == self.arguments else None


#: xWᵀ + b.
LINEAR = PrivateOperator(
    "_linear_pointwise", "default", ("X", "W", "B", "attr", "scalars", "algorithm")
)
#: A convolution's weights in the order that its kernels read them in.
REORDERED = PrivateOperator(
    "_reorder_convolution_weight",
    "default",
    ("self", "padding", "stride", "dilation", "groups", "input_size"),
)
#: A convolution by weights in that order.
CONVOLUTION_BY_ORDER = PrivateOperator(
    "_convolution_pointwise",
    "default",
    ("X", "W", "B", "padding", "stride", "dilation", "groups", "attr", "scalars", "algorithm"),
)
#: A convolution that adds into its first argument.
CONVOLUTION_INTO = PrivateOperator(
    "_convolution_pointwise_",
    "binary",
    (
        *("other", "X", "W", "B", "padding", "stride", "dilation", "groups"),
        *("binary_attr", "alpha", "unary_attr", "unary_scalars", "unary_algorithm"),
    ),
)
