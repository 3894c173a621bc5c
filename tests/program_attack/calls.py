"""Calls of allowed operators with integers that no network has: aimed at every integer argument.

Owns which values are tried at which argument, and their graphs: one operator each, as an uploaded
archive would hold it. What an archive cannot say as a literal it says by arithmetic on sizes.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Final

import torch
from torch import Tensor

from service.programs.graph import UNUSED, Graph, InputSpec, Node, SymRef
from service.programs.schema import Parameter, schema_of
from tests.program_binding.operators import TABLE
from tests.program_binding.operators.case import Held, OperatorCase

#: For one number: around nothing, around the ends of 16, 32 and 64 bits, and beside them.
NUMBERS: Final = (
    *(0, -1, -2, 1, 7, 33, 1000),
    *(2**15, 2**16 - 1, 2**16, 2**20, 2**28, 2**30),
    *(2**31 - 1, 2**31, 2**31 + 1, -(2**31), -(2**31) - 1, 2**32, 2**32 + 1, 2**33),
    *(2**40, 2**53, 2**61, 2**62, 2**62 + 1, 2**63 - 1, -(2**62), -(2**63) + 1, -(2**63)),
)
#: For several numbers at once: their product is small modulo 2⁶⁴ or 2³², or each is large.
PAIRS: Final = (
    (2**32, 2**32),
    (2**16, 2**16),
    (2**62, 4),
    (4, 2**62),
    (2**31, 2**33 + 1),
    (65_537, 65_535),
    (4_294_967_297, 4_294_967_295),
    (2**63 - 1, 2**63 - 1),
    (2**31 - 1, 2**31 - 1),
    (-1, -1),
    (0, 2**40),
    (-(2**62), 4),
)
#: Whose product is 2⁶⁶ + 336: to 64 bits, as many numbers as a norm's cases have.
WRAPPED: Final = (425, 648_907_921, 267_551_696)
#: For numbers with a fraction that tell sizes too.
FRACTIONS: Final = (
    *(0.0, -0.0, -1.0, 1e-300, 1e-30, 1e-9, 1e9, 1e30, 1e300, -1e-9, -1e30),
    *(float("nan"), float("inf"), float("-inf"), 2.0**31, 2.0**63),
)
#: For tensors of whole numbers that name places.
PLACES: Final = (-1, -(2**31), 2**31 - 1, 2**31, -(2**63), 2**63 - 1, 1000, -1000)
_MOST_LITERAL: Final = 2**31 - 1


@dataclass(frozen=True)
class Call:
    """An attack: what is called and how, with constants beside the parameters drawn."""

    case: OperatorCase
    arguments: tuple[tuple[str, Any], ...]
    words: str

    def __str__(self) -> str:
        return f"{self.case} {self.words}"

    def case_called(self) -> OperatorCase:
        """The case with the attack's arguments."""
        return replace(self.case, arguments=self.arguments)

    def point(self) -> dict[str, Tensor]:
        """What is drawn for it."""
        return self.case_called().point(torch.float32)

    def network(self) -> tuple[Graph, dict[str, Tensor]]:
        return _graph(self.case, self.arguments)


def calls() -> Iterator[Call]:
    """Every attack on every case of the table of operators."""
    for case in TABLE:
        schema = schema_of(case.operator)
        assert schema is not None
        for parameter in schema.parameters:
            for words, value in _values(case, parameter):
                yield _with(case, parameter.name, value, words)
        yield from _together(case, [p for p in schema.parameters if _is_whole(p)])


@cache
def _all() -> tuple[Call, ...]:
    return tuple(calls())


def chosen(number: int) -> Call:
    """One of all attacks."""
    return _all()[number]


def sample(each: int, seed: int) -> list[int]:
    """Numbers of so many attacks on every argument of every operator; 0 is all."""
    grouped: dict[tuple[str, str], list[int]] = defaultdict(list)
    for number, call in enumerate(_all()):
        grouped[call.case.operator, call.words.partition("=")[0]].append(number)
    draw = random.Random(seed)
    found = [
        number
        for numbers in grouped.values()
        for number in (numbers if each == 0 else draw.sample(numbers, min(each, len(numbers))))
    ]
    return sorted(found)


def _is_whole(parameter: Parameter) -> bool:
    return parameter.base == "int"


def _given(case: OperatorCase, name: str) -> Any:
    return dict(case.arguments).get(name)


def _values(case: OperatorCase, parameter: Parameter) -> Iterator[tuple[str, Any]]:
    given = _given(case, parameter.name)
    if _is_whole(parameter):
        if parameter.is_list:
            yield from _lists(given)
        else:
            yield from ((str(n), n) for n in NUMBERS)
    elif parameter.base in {"float", "scalar"}:
        if parameter.is_list:
            size = len(given) if isinstance(given, tuple) else 2
            yield from ((f"all {x}", (x,) * size) for x in FRACTIONS)
        else:
            yield from ((str(x), x) for x in FRACTIONS)
            if parameter.base == "scalar":
                yield from ((str(n), n) for n in NUMBERS[-8:])
    elif isinstance(given, Tensor) and given.dtype is torch.int64 and given.numel():
        yield from ((f"places {n}", torch.full_like(given, n)) for n in PLACES)


def _lists(given: Any) -> Iterator[tuple[str, Any]]:
    size = len(given) if isinstance(given, tuple) else 2
    held = given if isinstance(given, tuple) else (1,) * size
    yield from ((f"all {n}", (n,) * size) for n in NUMBERS)
    for place in range(size):
        for n in NUMBERS:
            yield f"[{place}] {n}", (*held[:place], n, *held[place + 1 :])
    for pair in PAIRS:
        many = (pair * size)[: max(size, 1)]
        yield f"{many}", many
    yield "three", WRAPPED
    yield "none", ()
    yield "long", (2,) * 70


def _together(case: OperatorCase, whole: list[Parameter]) -> Iterator[Call]:
    """Several arguments at once."""
    if len(whole) < 2:
        return
    for one in range(len(whole)):
        for other in range(one + 1, len(whole)):
            for a, b in PAIRS:
                first, second = whole[one], whole[other]
                call = _with(case, first.name, _like(case, first, a), "")
                call = replace(
                    call, arguments=_put(call.arguments, case, second, _like(case, second, b))
                )
                yield replace(call, words=f"{first.name}={a} {second.name}={b}")
    if len(whole) >= 3:
        arguments = case.arguments
        for parameter, number in zip(whole, WRAPPED, strict=False):
            arguments = _put(arguments, case, parameter, _like(case, parameter, number))
        yield Call(case, arguments, "wrapped")


def _like(case: OperatorCase, parameter: Parameter, number: int) -> Any:
    given = _given(case, parameter.name)
    if not parameter.is_list:
        return number
    return (number,) * (len(given) if isinstance(given, tuple) else 1)


def _with(case: OperatorCase, name: str, value: Any, words: str) -> Call:
    schema = schema_of(case.operator)
    assert schema is not None
    parameter = schema.parameter(name)
    assert parameter is not None
    return Call(case, _put(case.arguments, case, parameter, value), f"{name}={words}")


def _put(
    arguments: tuple[tuple[str, Any], ...], case: OperatorCase, parameter: Parameter, value: Any
) -> tuple[tuple[str, Any], ...]:
    schema = schema_of(case.operator)
    assert schema is not None
    given = {**dict(arguments), parameter.name: value}
    return tuple((p.name, given[p.name]) for p in schema.parameters if p.name in given)


def _graph(
    case: OperatorCase, arguments: tuple[tuple[str, Any], ...]
) -> tuple[Graph, dict[str, Tensor]]:
    """A program of this one call, and of the arithmetic that its numbers take."""
    held = Held()
    schema = schema_of(case.operator)
    assert schema is not None
    referred = held.referred(arguments)
    nodes: list[Node] = []
    following = len(held.tensors) + 1

    def computed(number: int) -> SymRef:
        """The number by sums and products of literals that are taken."""
        nonlocal following
        high, low = divmod(number, _MOST_LITERAL)
        scaled: Any = high if abs(high) <= _MOST_LITERAL else computed(high)
        steps: tuple[tuple[str, Any, Any], ...] = (
            ("sym.mul", scaled, _MOST_LITERAL),
            ("sym.add", None, low),
        )
        for name, a, b in steps:
            left = SymRef(following - 1) if a is None else a
            nodes.append(Node(name, (("a", left), ("b", b)), (following,)))
            following += 1
        return SymRef(following - 1)

    def said(name: str, value: Any) -> Any:
        parameter = schema.parameter(name)
        if isinstance(value, tuple):
            return tuple(said(name, item) for item in value)
        if type(value) is int and abs(value) > _MOST_LITERAL and parameter is not None:
            return computed(value)
        return value

    filled = tuple((name, said(name, value)) for name, value in referred)
    outputs = tuple(following if r == case.read else UNUSED for r in range(case.results))
    nodes.append(Node(case.operator, filled, outputs))
    graph = Graph(
        tensors=tuple(held.tensors),
        inputs=(InputSpec("x", "float32", (None, 1), (2, 1)),),
        nodes=tuple(nodes),
        output=following,
    )
    return graph, held.constants
