"""Products of matrices by oneDNN.

Owns the one call of it: linear maps and transformed convolutions are made of the same products.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from workers.program import onednn


def product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """xWᵀ + b; x of shape (…, in), W of shape (out, in), both contiguous and of one type.

    By PyTorch's own product where it has no call of oneDNN's.
    """
    ours = onednn.LINEAR.found
    if ours is None:
        return functional.linear(x, weight, bias)
    result: Tensor = ours(x, weight, bias, "none", [], "")
    return result
