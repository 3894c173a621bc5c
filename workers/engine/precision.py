"""The arithmetic of the forward pass, and the switches that make it the same every time.

Owns the precisions and PyTorch's global flags. Losses are summed in float64 in every precision.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from workers.engine.errors import PrecisionUnavailable
from workers.engine.vocabulary import Vocabulary


class Precision(Vocabulary, of="precision"):
    """`float32` is the default, `float64` the truth for comparisons, the others are options."""

    FLOAT32 = "float32"
    FLOAT64 = "float64"
    TF32 = "tf32"
    BF16 = "bf16"

    @property
    def place_dtype(self) -> torch.dtype:
        """In which points of weight space are computed: θ + αδ + βη."""
        return torch.float64 if self is Precision.FLOAT64 else torch.float32

    @property
    def compute_dtype(self) -> torch.dtype:
        """In which the network is given its weights and inputs."""
        return torch.bfloat16 if self is Precision.BF16 else self.place_dtype


def require_available(precision: Precision, device: torch.device) -> None:
    """Raises PrecisionUnavailable where the device has no such arithmetic."""
    if precision is Precision.TF32 and device.type != "cuda":
        raise PrecisionUnavailable(
            "tf32 exists on CUDA devices only; on a CPU use float32, or bf16 for speed"
        )


@contextmanager
def arithmetic(precision: Precision) -> Iterator[None]:
    """Sets the flags for `precision`, deterministic kernels included, and restores them after.

    Convolution algorithms are chosen by rule and never by timing them, so that a cell has the
    same bits in every process.
    """
    reduced = precision is Precision.TF32
    before = (
        torch.backends.cuda.matmul.allow_tf32,
        torch.backends.cudnn.allow_tf32,
        torch.backends.cudnn.deterministic,
        torch.backends.cudnn.benchmark,
    )
    _set_flags(reduced, reduced, True, False)
    try:
        yield
    finally:
        _set_flags(*before)


def _set_flags(matmul: bool, convolution: bool, deterministic: bool, benchmark: bool) -> None:
    torch.backends.cuda.matmul.allow_tf32 = matmul
    torch.backends.cudnn.allow_tf32 = convolution
    torch.backends.cudnn.deterministic = deterministic
    torch.backends.cudnn.benchmark = benchmark
