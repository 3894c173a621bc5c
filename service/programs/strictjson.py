"""JSON with nothing left to interpretation: bounded, no NaN, no duplicate keys, typed access.

`Reader` walks a parsed document and knows where it is, so that every complaint carries a pointer.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from service.programs.refusal import EXPORT_HINT, ProgramRefused


def parse(data: bytes, member: str) -> Reader:
    """Parses UTF-8 JSON. The parser itself bounds nesting, to about a thousand levels.

    Raises:
        ProgramRefused: `bad_json`.
    """
    try:
        document = json.loads(
            data.decode("utf-8"), parse_constant=_no_constant, object_pairs_hook=_unique
        )
    except RecursionError:
        raise ProgramRefused("bad_json", f"{member} nests too deeply", member) from None
    except ValueError as error:
        raise ProgramRefused("bad_json", f"{member} is not plain JSON: {error}", member) from None
    return Reader(document, member, "")


class Reader:
    """A value inside a JSON document, with its place."""

    __slots__ = ("_path", "member", "value")

    def __init__(self, value: Any, member: str, path: str) -> None:
        self.value = value
        self.member = member
        self._path = path

    @property
    def pointer(self) -> str:
        return f"{self.member}#{self._path}"

    def refuse(self, code: str, detail: str) -> ProgramRefused:
        return ProgramRefused(code, detail, self.pointer)

    def _wrong(self, wanted: str) -> ProgramRefused:
        if isinstance(self.value, dict | list):
            shown = "an object" if isinstance(self.value, dict) else "a list"
        else:
            whole = self.value[:80] if isinstance(self.value, str) else self.value
            shown = repr(whole)
            shown = shown if len(shown) <= 60 else shown[:57] + "..."
        return self.refuse("bad_graph", f"expected {wanted}, found {shown}; {EXPORT_HINT}")

    def key(self, name: str) -> Reader:
        """A member of this object, which must be there."""
        found = self.get(name)
        if found is None:
            raise self._wrong(f"an object with {name!r}")
        return found

    def get(self, name: str) -> Reader | None:
        """A member of this object, or nothing when it is absent or null."""
        if type(self.value) is not dict:
            raise self._wrong("an object")
        value = self.value.get(name)
        return None if value is None else Reader(value, self.member, f"{self._path}/{name}")

    def pairs(self) -> Iterator[tuple[str, Reader]]:
        if type(self.value) is not dict:
            raise self._wrong("an object")
        for name, value in self.value.items():
            escaped = name.replace("~", "~0").replace("/", "~1")
            yield name, Reader(value, self.member, f"{self._path}/{escaped}")

    def items(self, most: int) -> list[Reader]:
        if type(self.value) is not list:
            raise self._wrong("a list")
        if len(self.value) > most:
            raise self.refuse(
                "graph_too_large", f"{len(self.value)} entries; at most {most} are read"
            )
        return [
            Reader(value, self.member, f"{self._path}/{index}")
            for index, value in enumerate(self.value)
        ]

    def variant(self) -> tuple[str, Reader]:
        """The one key of a union, and its value."""
        if type(self.value) is not dict or len(self.value) != 1:
            raise self._wrong("an object with one key")
        ((name, value),) = self.value.items()
        return name, Reader(value, self.member, f"{self._path}/{name}")

    def integer(self) -> int:
        if type(self.value) is not int:
            raise self._wrong("an integer")
        return self.value

    def boolean(self) -> bool:
        if type(self.value) is not bool:
            raise self._wrong("true or false")
        return self.value

    def text(self, most: int = 512) -> str:
        if type(self.value) is not str or len(self.value) > most:
            raise self._wrong(f"a string of at most {most} characters")
        return self.value

    def number(self) -> float:
        """A float; torch writes infinities and NaN as strings."""
        if type(self.value) is float:
            return self.value
        if type(self.value) is int and abs(self.value) < 1 << 53:
            return float(self.value)
        if type(self.value) is str and self.value in _SPELLED:
            return _SPELLED[self.value]
        raise self._wrong("a number")


_SPELLED: Final = {
    "Infinity": float("inf"),
    "-Infinity": float("-inf"),
    "NaN": float("nan"),
}


def _no_constant(token: str) -> Any:
    raise ValueError(f"{token} is not JSON")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key occurs twice in one object")
    return found
