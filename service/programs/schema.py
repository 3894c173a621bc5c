"""Operator schemas, as PyTorch prints them, parsed without PyTorch.

Owns the grammar of `name.overload(Tensor self, SymInt[2] stride=1, *, bool flag=False) -> Tensor`
and the index of the allow-list by target. Says nothing about what an operator means.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Final

from service.programs.allowlist import SCHEMAS

_HEAD: Final = re.compile(r"([A-Za-z_0-9]+)(?:\.([A-Za-z_0-9]+))?\((.*)\) -> (.*)")
_PARAMETER: Final = re.compile(
    r"(?P<base>[A-Za-z]+)"
    r"(?:\((?P<alias>[a-z])(?P<mutated>!)?(?: -> [*a-z])?\))?"
    r"(?P<optional_item>\?(?=\[))?"
    r"(?P<list>\[(?P<length>\d*)\])?"
    r"(?P<optional>\?)?"
    r" (?P<name>[A-Za-z_0-9]+)(?P<default>=.*)?"
)
#: What the schema calls a type, and what a graph holds in its place.
_BASES: Final = {
    "Tensor": "tensor",
    "SymInt": "int",
    "int": "int",
    "float": "float",
    "bool": "bool",
    "Scalar": "scalar",
    "str": "string",
    "ScalarType": "dtype",
    "Layout": "layout",
    "Device": "device",
    "MemoryFormat": "memory_format",
}


@dataclass(frozen=True)
class Parameter:
    """One parameter of an operator.

    Attributes:
        base: tensor, int, float, bool, scalar, string, dtype, layout, device or memory_format.
        symbolic: an int that may be computed when the graph runs.
        is_list: a list of `base`; an int stands for a list of itself where `broadcast` is set.
        item_optional: entries of the list may be none.
        optional: may be none.
        required: has no default.
        alias: the schema's letter when the result may share this tensor's memory.
        mutated: written in place.
    """

    name: str
    base: str
    symbolic: bool
    is_list: bool
    broadcast: bool
    item_optional: bool
    optional: bool
    required: bool
    keyword_only: bool
    alias: bool
    mutated: bool


@dataclass(frozen=True)
class Schema:
    """An operator: its parameters in order, and what it returns."""

    name: str
    parameters: tuple[Parameter, ...]
    returns: tuple[str, ...]

    def parameter(self, name: str) -> Parameter | None:
        return next((p for p in self.parameters if p.name == name), None)

    @property
    def mutates(self) -> bool:
        return any(parameter.mutated for parameter in self.parameters)


@cache
def _lines() -> dict[str, str]:
    found: dict[str, str] = {}
    for line in SCHEMAS.splitlines():
        if line and not line.startswith("#"):
            head = line.partition("(")[0]
            name, _, overload = head.partition(".")
            found[f"aten.{name}.{overload or 'default'}"] = line
    return found


@cache
def schema_of(operator: str) -> Schema | None:
    """The parsed schema of `aten.name.overload`, or nothing when it is not allowed."""
    line = _lines().get(operator)
    return None if line is None else parse(operator, line)


def parse(operator: str, line: str) -> Schema:
    """Parses one schema line.

    Raises:
        ValueError: the line is not a schema.
    """
    head = _HEAD.fullmatch(line)
    if head is None:
        raise ValueError(f"not a schema: {line}")
    parameters = []
    keyword_only = False
    for text in _split(head[3]):
        if text == "*":
            keyword_only = True
            continue
        match = _PARAMETER.fullmatch(text)
        if match is None or match["base"] not in _BASES:
            raise ValueError(f"not a parameter: {text!r} in {line}")
        parameters.append(
            Parameter(
                name=match["name"],
                base=_BASES[match["base"]],
                symbolic=match["base"] == "SymInt",
                is_list=match["list"] is not None,
                broadcast=bool(match["length"]),
                item_optional=match["optional_item"] is not None,
                optional=match["optional"] is not None,
                required=match["default"] is None,
                keyword_only=keyword_only,
                alias=match["alias"] is not None,
                mutated=match["mutated"] is not None,
            )
        )
    returns = head[4]
    if returns.startswith("(") and returns.endswith(")"):
        kinds = tuple(_kind(item) for item in _split(returns[1:-1]))
    else:
        kinds = (_kind(returns),)
    return Schema(operator, tuple(parameters), kinds)


def _kind(text: str) -> str:
    base = text.split("(")[0].split(" ")[0]
    if text.split(" ")[0].endswith("[]") or "[]" in text:
        return "tensors"
    return {"Tensor": "tensor", "SymInt": "int", "int": "int", "bool": "bool"}[base]


def _split(text: str) -> list[str]:
    """Splits at the commas that stand outside brackets and quotes."""
    parts, depth, quoted, current = [], 0, False, ""
    for char in text:
        if char == '"':
            quoted = not quoted
        elif not quoted and char in "([":
            depth += 1
        elif not quoted and char in ")]":
            depth -= 1
        if char == "," and depth == 0 and not quoted:
            parts.append(current.strip())
            current = ""
        else:
            current += char
    if current.strip():
        parts.append(current.strip())
    return parts
