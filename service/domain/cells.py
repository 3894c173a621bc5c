"""The status of a cell: whether its value is a number, and if not, why.

A value that is not finite is data. It is stored as it came and never repaired; JSON shows
`null` and the status says which kind of nothing it is.
"""

from __future__ import annotations

from enum import IntEnum


class CellStatus(IntEnum):
    """Codes as stored in arrays (int8). A higher code is the worse news of two."""

    OK = 0
    PENDING = 1
    POSINF = 2
    NEGINF = 3
    NAN = 4
    INVALID_BUFFER = 5
    FAILED = 6

    @property
    def word(self) -> str:
        """The name used in JSON: `ok`, `nan`, `invalid_buffer`…"""
        return self.name.lower()


def status_from_word(word: str) -> CellStatus:
    """The inverse of `CellStatus.word`. Raises KeyError for an unknown word."""
    return CellStatus[word.upper()]
