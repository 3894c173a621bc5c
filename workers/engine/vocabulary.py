"""Words that callers choose by name, and the refusal of those that there are not.

Owns the look-up; each vocabulary is with what it chooses.
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar, Self

from workers.engine.errors import InputInvalid


class Vocabulary(StrEnum):
    """Base of the engine's enums of names; each says in its header what a member is a name of."""

    _of: ClassVar[str]

    def __init_subclass__(cls, *, of: str) -> None:
        super().__init_subclass__()
        cls._of = of

    @classmethod
    def named(cls, word: str) -> Self:
        """The member of this name.

        Raises:
            InputInvalid: there is none.
        """
        try:
            return cls(word)
        except ValueError:
            known = ", ".join(repr(member.value) for member in cls)
            raise InputInvalid(f"unknown {cls._of} {word!r}; known are {known}") from None
