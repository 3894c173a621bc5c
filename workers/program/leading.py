"""The linear map that a program begins with, cut off from what follows.

A first operator xWᵀ + b is linear in W. Along θ + αδ + βη its result is therefore the same
combination of three products, xW_θᵀ + αxW_δᵀ + βxW_ηᵀ + b, which are computed once for all cells.
That pays where the map holds most of the work: in perceptrons on images, never in convolutions,
whose weights are few and whose results are many.

Owns which programs begin so, and the two halves. The engine owns the combination.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from service.programs.graph import Graph, TensorRef
from workers.program.operators import Call
from workers.program.schedule import reads

_LINEAR: Final = "aten.linear.default"
_BATCH_NORM: Final = "aten.batch_norm.default"
#: Operators that use a weight once for each sample, or none: with others the share of the weights
#: says nothing of the share of the work.
_REUSING: Final = ("conv", "bmm", "matmul", "attention", "einsum", "embedding", "lstm", "gru")
#: Share of the products' weights that the first one must have.
_MOST: Final = 0.5


@dataclass(frozen=True)
class Leading:
    """A program's first linear map.

    Attributes:
        weight, bias: names of its parameters.
        before: calls that make its argument of the program's only input.
        after: calls that go on from its result.
        source, result: numbers of the values between.
    """

    weight: str
    bias: str | None
    before: tuple[Call, ...]
    after: tuple[Call, ...]
    source: int
    result: int


def leading(graph: Graph, calls: Sequence[Call], output: int) -> Leading | None:
    """The map, where the program begins with one that holds most of the work; else None.

    Args:
        calls: bound for inference, not folded.
    """
    if len(graph.inputs) != 1 or any(w in call.operator for call in calls for w in _REUSING):
        return None
    first = len(graph.tensors)
    made = {first}
    before: list[Call] = []
    after: list[Call] = []
    found: Call | None = None
    for call in calls:
        touched = made.intersection(reads(call))
        if not touched:
            after.append(call)
        elif found is None and call.operator == _LINEAR and _is_plain(call, graph):
            found = call
        elif made.issuperset(reads(call)):
            before.append(call)
            made.update(call.outputs)
        else:
            return None
    if found is None or not _holds_most(found, graph, calls):
        return None
    (result,) = found.outputs
    weight, source = found.positional[1].value, found.positional[0].value
    uses = [call for call in calls if call is not found and weight in reads(call)]
    folds = [c for c in after if c.operator == _BATCH_NORM and result in reads(c)]
    if uses or folds or output == result or made.intersection(v for c in after for v in reads(c)):
        return None
    bias = found.positional[2] if len(found.positional) > 2 else None
    return Leading(
        weight=graph.tensors[weight].name,
        bias=None if bias is None else graph.tensors[bias.value].name,
        before=tuple(before),
        after=tuple(after),
        source=source,
        result=result,
    )


def _is_plain(call: Call, graph: Graph) -> bool:
    """Whether weight and bias are parameters of the program as they are."""
    if call.keywords or not all(isinstance(a, TensorRef) for a in call.positional[:2]):
        return False
    named = [a for a in call.positional[1:] if a is not None]
    return all(
        isinstance(a, TensorRef)
        and a.value < len(graph.tensors)
        and graph.tensors[a.value].role == "parameter"
        for a in named
    )


def _holds_most(found: Call, graph: Graph, calls: Sequence[Call]) -> bool:
    sizes = []
    for call in calls:
        if call.operator != _LINEAR:
            continue
        weight = call.positional[1]
        if not isinstance(weight, TensorRef) or weight.value >= len(graph.tensors):
            return False
        sizes.append(_count(graph.tensors[weight.value].shape))
    mine = _count(graph.tensors[found.positional[1].value].shape)
    return mine >= _MOST * sum(sizes)


def _count(shape: tuple[int, ...]) -> int:
    count = 1
    for size in shape:
        count *= size
    return count
