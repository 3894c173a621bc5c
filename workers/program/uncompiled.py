"""PyTorch's arithmetic on sizes without its compiler, which takes seconds and 70 MiB to load.

The rules by which an operator's result has its size are written for sizes that are symbols too:
each imports the compiler's symbolic arithmetic at its first check, for functions that do nothing to
plain numbers, and a decorator of theirs imports the compiler to be left alone by it. Within
`without_compiler` all of them find stand-ins that say what the real ones say of plain numbers.

Owns the stand-ins. What they lack is imported after all: `StandInLacks` says so.
"""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any, Final

_SYMBOLS: Final = "torch.fx.experimental.symbolic_shapes"
_COMPILER: Final = "torch._dynamo"
_ALGEBRA: Final = "sympy"


class StandInLacks(ImportError):
    """A rule asked for something that the stand-ins do not have: run it without them."""


def _itself(value: Any, *_: Any, **__: Any) -> Any:
    return value


_OF_NUMBERS: Final[dict[str, Callable[..., Any]]] = {
    **dict.fromkeys(
        (
            *("expect_true", "guard_bool", "guard_or_false", "guard_or_true"),
            *("guard_size_oblivious", "statically_known_true"),
        ),
        lambda condition, *_, **__: bool(condition),
    ),
    **dict.fromkeys(("guard_int", "guarding_hint_or_throw"), _itself),
    "has_guarding_hint": lambda _: True,
    "is_nested_int": lambda _: False,
    "free_unbacked_symbols": lambda _: set(),
    "sym_and": lambda *conditions: all(conditions),
    "sym_or": lambda *conditions: any(conditions),
    "sym_eq": operator.eq,
}


class _NoSuchNumber:
    """The type of symbolic numbers, of which there are none."""


class _StandIn(ModuleType):
    def __init__(self, name: str, members: Mapping[str, Any]) -> None:
        super().__init__(name)
        self.__dict__.update(members)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise StandInLacks(f"{self.__name__}.{name}")


_STAND_INS: Final = {
    _SYMBOLS: _StandIn(_SYMBOLS, _OF_NUMBERS),
    _COMPILER: _StandIn(_COMPILER, {"disable": _itself}),
    _ALGEBRA: _StandIn(
        _ALGEBRA, dict.fromkeys(("Expr", "Basic", "Integer", "Symbol", "Float"), _NoSuchNumber)
    ),
}


@contextmanager
def without_compiler() -> Iterator[None]:
    """Raises StandInLacks from within where the real modules are needed. For one thread alone."""
    placed = {name: module for name, module in _STAND_INS.items() if name not in sys.modules}
    sys.modules.update(placed)
    try:
        yield
    finally:
        for name, module in placed.items():
            if sys.modules.get(name) is module:
                del sys.modules[name]
