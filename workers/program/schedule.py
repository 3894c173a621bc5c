"""Calls in the order and with the memory that running them takes.

Owns two divisions: what depends on the point alone is computed once per point, the rest once per
batch; and every value of a batch is let go after its last use, so that a program's peak memory is
that of the module it was exported from.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from service.programs.graph import UNUSED, SymRef, TensorRef, references
from workers.program.operators import Call

#: Reads its arguments from the list of values, and writes its results there.
Step = Callable[[list[Any]], None]


def reads(call: Call) -> tuple[int, ...]:
    """Numbers of the values a call reads."""
    return references((*call.positional, *(value for _, value in call.keywords)))


def live(calls: Sequence[Call], output: int) -> tuple[Call, ...]:
    """Those calls that the output depends on."""
    wanted = {output}
    kept: list[Call] = []
    for call in reversed(calls):
        if wanted.intersection(call.outputs):
            kept.append(call)
            wanted.update(reads(call))
    return tuple(reversed(kept))


def fixed_values(calls: Sequence[Call], tensors: int) -> frozenset[int]:
    """Numbers of the values that no input enters: the first `tensors`, and what follows of them."""
    fixed = set(range(tensors))
    for call in calls:
        if fixed.issuperset(reads(call)):
            fixed.update(call.outputs)
    return frozenset(fixed - {UNUSED})


def steps_of(
    calls: Sequence[Call], output: int, kept: frozenset[int] = frozenset()
) -> tuple[Step, ...]:
    """One step per call; values but `kept` and the output are let go after their last use."""
    last: dict[int, int] = {}
    for index, call in enumerate(calls):
        for value in reads(call):
            last[value] = index
    ends: list[list[int]] = [[] for _ in calls]
    for value, index in last.items():
        if value != output and value not in kept:
            ends[index].append(value)
    steps = []
    for index, call in enumerate(calls):
        outputs = tuple(
            value if value in last or value == output or value in kept else UNUSED
            for value in call.outputs
        )
        steps.append(_step(call, outputs, tuple(ends[index])))
    return tuple(steps)


def _step(call: Call, outputs: tuple[int, ...], ends: tuple[int, ...]) -> Step:
    if call.spread:
        return _spreading(call, outputs, ends)
    (output,) = outputs
    is_reference = [isinstance(item, TensorRef | SymRef) for item in call.positional]
    leading = is_reference.index(False) if False in is_reference else len(is_reference)
    rest = call.positional[leading:]
    if 0 < leading <= 3 and not call.keywords and not references(rest):
        slots = tuple(item.value for item in call.positional[:leading])
        return _LEADING[leading - 1](call.function, slots, rest, output, ends)
    function, gather = call.function, _gatherer(call)

    def step(values: list[Any]) -> None:
        positional, keywords = gather(values)
        result = function(*positional, **keywords)
        for slot in ends:
            values[slot] = None
        values[output] = result

    return step


def _one(
    function: Any, slots: tuple[int, ...], rest: tuple[Any, ...], output: int, ends: tuple[int, ...]
) -> Step:
    (a,) = slots

    def step(values: list[Any]) -> None:
        result = function(values[a], *rest)
        for slot in ends:
            values[slot] = None
        values[output] = result

    return step


def _two(
    function: Any, slots: tuple[int, ...], rest: tuple[Any, ...], output: int, ends: tuple[int, ...]
) -> Step:
    a, b = slots

    def step(values: list[Any]) -> None:
        result = function(values[a], values[b], *rest)
        for slot in ends:
            values[slot] = None
        values[output] = result

    return step


def _three(
    function: Any, slots: tuple[int, ...], rest: tuple[Any, ...], output: int, ends: tuple[int, ...]
) -> Step:
    a, b, c = slots

    def step(values: list[Any]) -> None:
        result = function(values[a], values[b], values[c], *rest)
        for slot in ends:
            values[slot] = None
        values[output] = result

    return step


#: By how many references lead the arguments: the commonest shapes, without building a list.
_LEADING = (_one, _two, _three)


def _spreading(call: Call, outputs: tuple[int, ...], ends: tuple[int, ...]) -> Step:
    function, gather, count = call.function, _gatherer(call), len(outputs)
    wanted = tuple((place, value) for place, value in enumerate(outputs) if value != UNUSED)

    def step(values: list[Any]) -> None:
        positional, keywords = gather(values)
        results = function(*positional, **keywords)
        # Only kernels' own further results may go unnamed; how many pieces a split gives may not.
        if len(results) < count or (len(results) > count and type(results) is list):
            raise ValueError(f"it gives {len(results)} tensors where the program has {count}")
        for slot in ends:
            values[slot] = None
        for place, value in wanted:
            values[value] = results[place]

    return step


def _gatherer(call: Call) -> Callable[[list[Any]], tuple[list[Any], dict[str, Any]]]:
    """Builds a call's arguments from the values."""
    template = list(call.positional)
    direct = [
        (place, item.value)
        for place, item in enumerate(call.positional)
        if isinstance(item, TensorRef | SymRef)
    ]
    nested = [
        (place, item)
        for place, item in enumerate(call.positional)
        if isinstance(item, tuple) and references(item)
    ]
    fixed = {name: item for name, item in call.keywords if not references(item)}
    moving = [(name, item) for name, item in call.keywords if references(item)]

    def gather(values: list[Any]) -> tuple[list[Any], dict[str, Any]]:
        positional = template.copy()
        for place, slot in direct:
            positional[place] = values[slot]
        for place, item in nested:
            positional[place] = _filled(item, values)
        if not moving:
            return positional, fixed
        return positional, {**fixed, **{name: _filled(item, values) for name, item in moving}}

    return gather


def _filled(item: Any, values: list[Any]) -> Any:
    if isinstance(item, TensorRef | SymRef):
        return values[item.value]
    if isinstance(item, tuple):
        return [_filled(entry, values) for entry in item]
    return item
