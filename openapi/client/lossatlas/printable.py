"""Text from a service on its way to a terminal, a log or a report: one way out for each.

The service takes no such names any more; what it stored before, and what another service says, may
hold control characters, turn the direction of what follows, or look like a command of the CI system
that reads the log.
"""

from __future__ import annotations

import json
import re
import unicodedata
from typing import Any, Final

_JOINERS: Final = "\u200c\u200d"
_REFUSED: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_BREAKS: Final = "\n\t"
_SPACES: Final = {ord(sign): " " for sign in "\r\n\t"}
_PLAIN: Final = re.compile(r"[\x20-\x7e\n\t]*")
#: What GitHub's and Azure's runners take for commands, at the beginning of a line or anywhere.
_COMMAND: Final = re.compile(r"^(\s*):(?=:)|##(?=\[)", re.MULTILINE)

#: Signs of Markdown that stand for themselves after a backslash.
_MARKS: Final = re.compile(r"[\\`*_{}\[\]|~^$!#]")
#: At the beginning of a line, of a list, a heading or a rule.
_BEGINNINGS: Final = re.compile(r"^(\d*)([-+=.)])(?=\s|$)")
#: What GitHub and GitLab make links of by themselves: mentions, references, addresses.
_REFERENCE: Final = re.compile(r"(?<=[@#!~%&$^])(?=[\w\"'])|(?i:(?<=\bwww)(?=\.)|(?<=\bGH)(?=-))")
_ADDRESS: Final = re.compile(r"(?<=[A-Za-z0-9+.-]):(?=\S)")
#: No width, and no part of a name or an address.
_APART: Final = "\u200b"


def shown(text: str, *, breaks: bool = False) -> str:
    """The text with everything that does not print replaced by U+FFFD.

    Args:
        breaks: line breaks and tabs stay; otherwise they become spaces.
    """
    if not breaks:
        text = text.translate(_SPACES)
    if _PLAIN.fullmatch(text):
        return text
    return "".join(c if c in _BREAKS or is_printable(c) else "\ufffd" for c in text)


def is_printable(character: str) -> bool:
    """As the service's names may have it."""
    return character in _JOINERS or unicodedata.category(character) not in _REFUSED


def for_terminal(text: str, *, breaks: bool = False) -> str:
    """For a terminal or a job's log, where no line of it is a command."""
    return _COMMAND.sub(lambda m: f"{m.group()} ", shown(text, breaks=breaks))


def json_text(value: Any) -> str:
    """A JSON document for a terminal: readable, and what does not print escaped."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    if _PLAIN.fullmatch(text):
        return text
    return "".join(c if c == "\n" or is_printable(c) else json.dumps(c).strip('"') for c in text)


def for_markdown(text: str) -> str:
    """Text that is shown as it stands by GitHub and GitLab, in a table's cell too: no markup, no
    links, nobody mentioned.
    """
    text = " ".join(shown(text).split())
    # before anything is escaped: the backslashes are no part of it
    text = _ADDRESS.sub(f":{_APART}", _REFERENCE.sub(_APART, text))
    text = _MARKS.sub(lambda m: f"\\{m.group()}", text)
    text = _BEGINNINGS.sub(r"\1\\\2", text)
    for sign, instead in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(sign, instead)
    return text


def markdown_code(text: str) -> str:
    """The text as a span of code."""
    text = " ".join(shown(text).split()).replace("|", "¦")
    fence = _fence(text, 1)
    room = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{room}{text or ' '}{room}{fence}"


def markdown_block(text: str, language: str) -> str:
    """The text as a block of code."""
    text = shown(text, breaks=True)
    fence = _fence(text, 3)
    return f"{fence}{language}\n{text}\n{fence}"


def _fence(text: str, least: int) -> str:
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    return "`" * max(least, longest + 1)
