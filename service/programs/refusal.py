"""The one error of this package: why a program is not accepted, and what to do about it."""

from __future__ import annotations

from typing import Final

#: What every refusal can fall back on: our own exporter produces nothing that is refused.
EXPORT_HINT: Final = "export with lossatlas.export_model(module, example_inputs, path)"

_LONGEST_DETAIL: Final = 2_000
_LONGEST_POINTER: Final = 500


class ProgramRefused(Exception):
    """A verdict: a program archive breaks a rule. Nothing of it has been executed.

    Attributes:
        code: snake_case name of the rule, stable once published.
        detail: what exactly was found and how to put it right.
        pointer: where: a member of the archive, and after `#` an RFC 6901 pointer into its JSON.
    """

    def __init__(self, code: str, detail: str, pointer: str = "") -> None:
        detail = _plain(detail, _LONGEST_DETAIL)
        pointer = _plain(pointer, _LONGEST_POINTER)
        super().__init__(f"{code}: {detail}" + (f" [{pointer}]" if pointer else ""))
        self.code = code
        self.detail = detail
        self.pointer = pointer

    def to_json(self) -> dict[str, str]:
        return {"code": self.code, "detail": self.detail, "pointer": self.pointer}


def _plain(text: str, most: int) -> str:
    """Text that every reader can store and show: the archive's words are in it."""
    shown = text if len(text) <= most else text[: most - 3] + "..."
    return "".join(char if char.isprintable() else f"\\u{ord(char):04x}" for char in shown)
