"""The documentation's pages and what can be run in them.

Owns the reading of fenced blocks. A `console` block's commands are the lines that begin with
`$ `, with the lines that a backslash continues; what a command prints is shown between them and
is not compared. `sh` and `python` blocks run as they stand.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
DOCS: Final = ROOT / "openapi" / "docs"
PAGES: Final = (
    *(ROOT / page for page in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    ROOT / "deploy/ci/README.md",
    *sorted(DOCS.glob("*.md")),
)

#: Languages that are run, and those that are only read.
RUN: Final = ("console", "sh", "python")
READ: Final = ("yaml", "json", "text", "ini")

_FENCE = re.compile(r"^```(\w*)[ ]*\n(.*?)^```[ ]*$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        line: of its first line of text in the page, from 1.
    """

    page: Path
    line: int
    language: str
    text: str

    @property
    def commands(self) -> tuple[str, ...]:
        """What there is to run, one after another."""
        if self.language != "console":
            return (self.text,)
        found: list[str] = []
        goes_on = False
        for line in self.text.splitlines():
            if goes_on:
                found[-1] += "\n" + line
            elif line.startswith("$ "):
                found.append(line.removeprefix("$ "))
            else:
                continue
            goes_on = line.endswith("\\")
        return tuple(found)


def blocks(page: Path) -> list[Block]:
    """A page's fenced blocks, in order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(page, text.count("\n", 0, found.start(2)) + 1, found[1], found[2])
        for found in _FENCE.finditer(text)
    ]


def name(page: Path) -> str:
    """A page's path from the root, as people write it."""
    return page.relative_to(ROOT).as_posix()
