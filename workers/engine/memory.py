"""Running out of memory, told apart from every other failure.

Owns the translation of the several ways in which PyTorch says it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from workers.engine.errors import MemoryExceeded


@contextmanager
def memory_guard(batch_size: int) -> Iterator[None]:
    """Raises MemoryExceeded, naming the batch size, where the body runs out of memory."""
    try:
        yield
    except MemoryError as error:
        raise _exceeded(batch_size, str(error)) from error
    except torch.OutOfMemoryError as error:
        raise _exceeded(batch_size) from error
    except RuntimeError as error:
        # The CPU allocator has no exception type of its own.
        if "DefaultCPUAllocator" in str(error) or "not enough memory" in str(error):
            raise _exceeded(batch_size) from error
        raise


def _exceeded(batch_size: int, why: str = "") -> MemoryExceeded:
    detail = f"the memory does not suffice at a batch size of {batch_size}"
    return MemoryExceeded(f"{detail}: {why}" if why else detail, batch_size=batch_size)
