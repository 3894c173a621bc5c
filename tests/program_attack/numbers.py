"""Whether a call that was computed after all has PyTorch's own numbers.

Owns the comparison; a call that PyTorch's own operator refuses has nothing to be held against.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tests.program_attack.calls import Call

#: Of the largest number: forms and kernels round otherwise.
_TOLERANCE = 1e-3


def same(call: Call, found: Tensor) -> bool:
    """Against the public operator in the same type, where its numbers are of the size of ours."""
    try:
        with torch.inference_mode():
            wanted = call.case_called().public(torch.float32)(call.point())
    except (RuntimeError, TypeError, ValueError, IndexError, NotImplementedError):
        return True
    if not isinstance(wanted, Tensor):
        return True
    if found.shape != wanted.shape:
        return False
    if not found.is_floating_point():
        return bool(torch.equal(found, wanted.to(found.dtype)))
    found, wanted = found.double(), wanted.double()
    both = found.isfinite() & wanted.isfinite()
    if not bool(both.any()):
        return True
    size = float(wanted[both].abs().max())
    return bool((found[both] - wanted[both]).abs().max() <= _TOLERANCE * max(size, 1e-3))
