"""The one error of this package: why a program is not accepted, and what to do about it."""

from __future__ import annotations

from typing import Final

#: What every refusal can fall back on: our own exporter produces nothing that is refused.
EXPORT_HINT: Final = "export with lossatlas.export_model(module, example_inputs, path)"


class ProgramRefused(Exception):  # noqa: N818 - a verdict, not a malfunction
    """A program archive that breaks a rule. Nothing of it has been executed.

    Attributes:
        code: snake_case name of the rule, stable once published.
        detail: what exactly was found and how to put it right.
        pointer: where: a member of the archive, and after `#` an RFC 6901 pointer into its JSON.
    """

    def __init__(self, code: str, detail: str, pointer: str = "") -> None:
        super().__init__(f"{code}: {detail}" + (f" [{pointer}]" if pointer else ""))
        self.code = code
        self.detail = detail
        self.pointer = pointer

    def to_json(self) -> dict[str, str]:
        return {"code": self.code, "detail": self.detail, "pointer": self.pointer}
