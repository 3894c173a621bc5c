"""Products of matrices by oneDNN.

Owns the one call of it: linear maps and transformed convolutions are made of the same products.
"""

from __future__ import annotations

from typing import Any, Final

import torch
from torch import Tensor


def product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """xWᵀ + b; x of shape (…, in), W of shape (out, in), both contiguous and of one type."""
    result: Tensor = _LINEAR(x, weight, bias, "none", [], "")
    return result


_LINEAR: Final[Any] = torch.ops.mkldnn._linear_pointwise.default
