"""Text that shows what it is: which characters names hold, and how others look. Pure.

Names are stored in Unicode's composed form (NFC). They hold no control characters (C0, C1),
nothing that turns the direction of what follows or is invisible (Cf), no line or paragraph
separators, and nothing private, unassigned or half of a surrogate pair. Two of Cf stay: the
zero-width joiner, which emoji of several parts are written with, and the non-joiner, which Persian
and others need.

What was stored before that rule is shown with U+FFFD in such places: `shown`, at every output.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from pydantic import AfterValidator

_JOINERS: Final = "\u200c\u200d"
_REFUSED: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_BREAKS: Final = "\n\t"
_REPLACEMENT: Final = "\ufffd"
#: Most text is this and nothing else: ASCII that prints, and breaks.
_PLAIN: Final = re.compile(r"[\x20-\x7e\n\t]*")


def is_printable(character: str) -> bool:
    """Whether a name may hold this character."""
    return character in _JOINERS or unicodedata.category(character) not in _REFUSED


def shown(text: str, *, breaks: bool = False) -> str:
    """The text with everything that does not print replaced; the rest as it is.

    Args:
        breaks: line breaks and tabs stay; otherwise they become spaces.
    """
    if not breaks:
        text = text.translate(_SPACES)
    if _PLAIN.fullmatch(text):
        return text
    return "".join(c if c in _BREAKS or is_printable(c) else _REPLACEMENT for c in text)


_SPACES: Final = {ord(sign): " " for sign in "\r\n\t"}


def _composed(text: str, kept: str = "") -> str:
    for place, character in enumerate(text):
        if character not in kept and not is_printable(character):
            raise ValueError(
                f"holds U+{ord(character):04X} at position {place}, which does not print; remove it"
            )
    # after the length was bounded: long runs of combining marks take long to be put in order
    return unicodedata.normalize("NFC", text)


def _composed_lines(text: str) -> str:
    return _composed(text, "\n\r\t")


#: Part of a type: printable and composed, on one line or on several.
Printable: Final = AfterValidator(_composed)
PrintableLines: Final = AfterValidator(_composed_lines)
