"""Sizes that vary: recognised by their spelling, never parsed and never computed.

Torch spells a varying size as a sympy expression with a hint, the size its example had. An input's
size may be one symbol, or a flat product or sum; the spelling only tells that the size varies and
whether it is the batch's. Anything else is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from service.programs import limits
from service.programs.strictjson import Reader

_SYMBOL: Final = r"Symbol\('[A-Za-z_][A-Za-z0-9_]{0,63}'(?:, [a-z_]{1,32}=(?:True|False)){0,8}\)"
_ATOM: Final = rf"(?:{_SYMBOL}|Integer\(-?[0-9]{{1,18}}\))"
_PRODUCT: Final = rf"(?:{_ATOM}|Mul\({_ATOM}(?:, {_ATOM})*\))"
_SUM: Final = re.compile(rf"(?:{_PRODUCT}|Add\({_PRODUCT}(?:, {_PRODUCT})*\))")


@dataclass(frozen=True)
class Size:
    """One size of an input.

    Attributes:
        known: the size, or nothing when it varies.
        sample: a size the program is known to work with.
        spelling: of a size that varies; two sizes spelled alike are equal.
    """

    known: int | None
    sample: int
    spelling: str = ""


def read_size(reader: Reader) -> Size:
    """Reads one size.

    Raises:
        ProgramRefused: `symbolic_size_unsupported`, `tensor_too_large`, `bad_graph`.
    """
    kind, value = reader.variant()
    if kind == "as_int":
        return _bounded(reader, value.integer(), varies=False)
    if kind != "as_expr":
        raise reader.refuse("bad_graph", f"{kind[:40]!r} is no size")
    spelling = value.key("expr_str").value
    if (
        type(spelling) is not str
        or len(spelling) > limits.MAX_SYMBOL_EXPRESSION
        or not _SUM.fullmatch(spelling)
    ):
        raise reader.refuse(
            "symbolic_size_unsupported",
            "a varying size must be a symbol, or a plain product or sum of symbols and integers; "
            "this one is not, and expressions are never evaluated. Give each varying size its own "
            "torch.export.Dim",
        )
    hint = value.get("hint")
    if hint is None:
        raise reader.refuse(
            "symbolic_size_unsupported", "a varying size lacks its example; export with one"
        )
    return _bounded(reader, hint.key("as_int").integer(), varies=True, spelling=spelling)


def _bounded(reader: Reader, number: int, *, varies: bool, spelling: str = "") -> Size:
    if not 0 <= number <= limits.MAX_LITERAL:
        raise reader.refuse("tensor_too_large", f"{number} is not a size that is taken")
    return Size(None if varies else number, number, spelling)
