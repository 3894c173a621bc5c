"""Kernels that are told their sizes are told the true ones, whatever a program says.

`native_group_norm` holds the product of its sizes against the input's count in 64 bits: sizes whose
product leaves them passed, and the kernel wrote past its output.
"""

from __future__ import annotations

import math

import pytest
import torch

from workers.program.derivatives import group_norm_with_statistics
from workers.program.operators import _native_group_norm

#: N · C · HxW = 2⁶⁴ + 20: as many numbers as two samples of five channels of two, to 64 bits.
WRAPPED = (51_228, 10_827_767, 33_256_261)
WRONG = [
    WRAPPED,
    (2, 5, 1),
    (5, 2, 2),
    (1, 10, 2),
    (20, 1, 1),
    (-2, -5, 2),
    (0, 0, 0),
    (1 << 62, 4, 5),
    (2, 5, 1 << 62),
]


@pytest.mark.parametrize("sizes", WRONG)
@pytest.mark.parametrize("norm", [_native_group_norm, group_norm_with_statistics])
def test_other_sizes_than_the_inputs_are_refused_before_the_kernel(
    sizes: tuple[int, int, int], norm: object
) -> None:
    assert math.prod(WRAPPED) % 2**64 == 20
    assert callable(norm)
    with pytest.raises(ValueError, match="a group norm is told of"):
        norm(torch.ones(2, 5, 2), torch.ones(5), torch.ones(5), *sizes, 1, 1e-5)


@pytest.mark.parametrize("shape", [(2, 6), (2, 6, 3), (2, 6, 3, 4), (0, 6, 3)])
def test_true_sizes_give_pytorchs_own_values(shape: tuple[int, ...]) -> None:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    sizes = (shape[0], shape[1], math.prod(shape[2:]))
    ours = _native_group_norm(x, None, None, *sizes, 3, 1e-5)
    theirs = torch.native_group_norm(x, None, None, *sizes, 3, 1e-5)
    for one, other in zip(ours, theirs, strict=True):
        assert torch.equal(one, other)
