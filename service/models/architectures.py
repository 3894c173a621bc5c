"""Which named architectures this installation knows, without importing any of them.

An architecture is an entry point of the group `lossatlas.architectures`. The service reads the
packages' metadata only: building the network needs torch and is a worker's affair.
"""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Final

GROUP: Final = "lossatlas.architectures"


def known() -> tuple[str, ...]:
    """Names, sorted."""
    return tuple(sorted({entry.name for entry in entry_points(group=GROUP)}))
