"""What the curvature algorithms know of a Hessian: a symmetric operator on flat vectors.

Owns the abstraction, the dense operator that small problems and tests use, and the random vectors
that probes and starts are made of. Computes no derivative.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from workers.engine.errors import InputInvalid
from workers.engine.gaussian import rademacher, standard_gaussians
from workers.engine.layout import Entry, ParameterLayout


class SymmetricOperator(Protocol):
    """x ↦ Ax for a symmetric A of `layout.size` × `layout.size`.

    Attributes:
        layout: which named tensors a vector is made of. It has no gaps.
    """

    @property
    def layout(self) -> ParameterLayout: ...
    @property
    def dtype(self) -> torch.dtype: ...
    @property
    def device(self) -> torch.device: ...

    def apply(self, block: Tensor) -> Tensor:
        """A on each row of `block`, shape (k, size) → (k, size)."""
        ...


class DenseOperator:
    """A symmetric matrix as an operator. `layout`: one unnamed tensor by default.

    >>> operator = DenseOperator(torch.diag(torch.tensor([3.0, -1.0])))
    >>> operator.apply(torch.tensor([[1.0, 1.0]]))
    tensor([[ 3., -1.]])
    """

    def __init__(self, matrix: Tensor, layout: ParameterLayout | None = None) -> None:
        size = len(matrix)
        if tuple(matrix.shape) != (size, size):
            raise InputInvalid(f"a symmetric matrix is square, not {tuple(matrix.shape)}")
        self._matrix = matrix
        self.layout = layout or ParameterLayout((Entry("", (size,), 0, size),), size, size)
        self.dtype = matrix.dtype
        self.device = matrix.device

    def apply(self, block: Tensor) -> Tensor:
        return block @ self._matrix


class CountingOperator:
    """Another operator, and how many vectors it has been applied to."""

    def __init__(self, operator: SymmetricOperator) -> None:
        self._operator = operator
        self.layout = operator.layout
        self.dtype = operator.dtype
        self.device = operator.device
        self.products = 0

    def apply(self, block: Tensor) -> Tensor:
        self.products += len(block)
        return self._operator.apply(block)


def dense(operator: SymmetricOperator) -> Tensor:
    """The matrix itself, shape (size, size), symmetrised: for small operators, size products."""
    identity = torch.eye(operator.layout.size, dtype=operator.dtype, device=operator.device)
    matrix = operator.apply(identity)
    return (matrix + matrix.T) / 2


def gaussian_block(operator: SymmetricOperator, count: int, seed: int, purpose: str) -> Tensor:
    """`count` rows of independent N(0, 1) numbers, the same on every machine and device.

    A number depends on (seed, purpose, row, parameter name, shape) alone: more rows continue the
    ones there are, and leaving a parameter out changes nothing in the others.
    """
    return _rows(operator, count, seed, purpose, standard_gaussians)


def rademacher_block(operator: SymmetricOperator, count: int, seed: int, purpose: str) -> Tensor:
    """`count` rows of independent signs; reproducible as `gaussian_block`'s."""
    return _rows(operator, count, seed, purpose, rademacher)


_Source = Callable[[int, str, str, Sequence[int]], NDArray[np.float64]]


def _rows(
    operator: SymmetricOperator, count: int, seed: int, purpose: str, source: _Source
) -> Tensor:
    layout = operator.layout
    block = torch.empty((count, layout.size), dtype=operator.dtype, device=operator.device)
    for i in range(count):
        for entry in layout.entries:
            numbers = source(seed, f"{purpose} {i}", entry.name, entry.shape)
            part = block[i, entry.offset : entry.offset + entry.count]
            part.copy_(torch.from_numpy(numbers.reshape(-1)))
    return block
