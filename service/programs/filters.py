"""Which weights form a filter: those that one output channel of their operator depends on.

Owns, for every operator with weights, which dimensions of the weight count its output channels,
and the filters that follow for the parameter behind it, however it is reshaped, transposed, cut or
joined on the way. Li et al. (2018), section 4, normalise by filter; their code takes each index of
dimension 0 for one, which it is where weights are stored as [out, in, …].

A parameter's filters are read from the graph where every use of it that has output channels says
the same. Otherwise each index of dimension 0 is one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Final

from service.programs.axes import Axis, Seen, as_stored, axes_of, reshaped, size_of
from service.programs.graph import UNUSED, Filters, Graph, Node, TensorRef
from service.programs.viewing import SIZES, fed, views

_TRANSPOSED: Final = frozenset(
    {
        "aten.conv_transpose1d.default",
        "aten.conv_transpose2d.input",
        "aten.conv_transpose3d.input",
    }
)
#: Each index of dimension 0 of the `weight` makes one output channel; of a table, one output.
_BY_ROW: Final = frozenset(
    {
        "aten.conv1d.default",
        "aten.conv1d.padding",
        "aten.conv2d.default",
        "aten.conv2d.padding",
        "aten.conv3d.default",
        "aten.conv3d.padding",
        "aten.convolution.default",
        "aten.linear.default",
        "aten.bilinear.default",
        "aten.embedding.default",
    }
)

#: How a weight is read: from what it shows of a parameter to the axes that count its output
#: channels, or nothing where other indices move along these axes too.
_Reading = Callable[[Seen], tuple[Axis, ...] | None]
#: The dimensions of an operand that a product sums over, by the node and the operand's rank.
_Summed = Callable[[Node, int], Iterable[int]]


def filters_of(graph: Graph) -> dict[int, Filters]:
    """For parameters, by number, whose filters are read and are not the indices of dimension 0."""
    read: dict[int, set[tuple[Axis, ...] | None]] = {}
    seen = views(graph)
    trained = {i for i, spec in enumerate(graph.tensors) if spec.role == "parameter"}
    made = frozenset(value for value, view in seen.items() if not trained.isdisjoint(view))
    changing = fed(graph)
    for node in graph.nodes:
        for value, reading in _weights(node, made, changing):
            for index, shown in seen[value].items():
                if index != SIZES:
                    read.setdefault(index, set()).add(reading(shown))
    found = {}
    for index, several in read.items():
        spec = graph.tensors[index]
        axes = next(iter(several))
        if spec.role == "parameter" and len(spec.shape) > 1 and len(several) == 1:
            filters = None if axes is None else _along(spec.shape, axes)
            if filters is not None:
                found[index] = filters
    return found


def of_transposed_convolution(shape: Sequence[int], groups: int) -> Filters | None:
    """Output j of group k of g depends on `weight[k·in/g:(k+1)·in/g, j]`.

    Nothing where that is the indices of dimension 0.
    """
    axes = _transposed(groups)(as_stored(shape))
    return None if axes is None else _along(shape, axes)


def _weights(
    node: Node, made: frozenset[int], changing: frozenset[int]
) -> list[tuple[int, _Reading]]:
    """The weights of an operator, as values, with how each is read.

    `made` are the values that show a parameter, `changing` those that depend on an input.
    """
    weight = _value(node, "weight")
    if is_transposed_convolution(node):
        groups = node.argument("groups")
        reading = _transposed(groups if type(groups) is int else 1)
        return [(weight, reading)] if weight in made else []
    if node.operator in _BY_ROW and weight in made:
        return [(weight, _reading(lambda rank: range(1, rank)))]
    operands = _operands(node)
    # A product with a weight has one, and is applied to something: W₁W₂ is neither's output.
    weights = [(value, summed) for value, summed in operands if value in made]
    if len(weights) != 1 or not any(value in changing for value, _ in operands):
        return []
    value, summed = weights[0]
    return [(value, _reading(lambda rank: summed(node, rank)))]


def is_transposed_convolution(node: Node) -> bool:
    """Whether the node's `weight` is stored as [in, out/groups, …]."""
    return node.operator in _TRANSPOSED or (
        node.operator == "aten.convolution.default" and node.argument("transposed") is True
    )


def _reading(summed: Callable[[int], Iterable[int]]) -> _Reading:
    def axes(seen: Seen) -> tuple[Axis, ...] | None:
        over = set(summed(len(seen.dims)))
        made = [dim for index, dim in enumerate(seen.dims) if index not in over]
        channels = axes_of(made) | seen.fixed
        if channels & axes_of(dim for index, dim in enumerate(seen.dims) if index in over):
            return None
        return _simplest(channels)

    return axes


def _transposed(groups: int) -> _Reading:
    def axes(seen: Seen) -> tuple[Axis, ...] | None:
        sizes = [size_of(dim) for dim in seen.dims]
        if len(sizes) < 2 or groups < 1 or sizes[0] is None or sizes[0] % groups:
            return None
        by_group = reshaped(seen, [groups, sizes[0] // groups, *sizes[1:]])
        if by_group is None:
            return None
        return _reading(lambda rank: [1, *range(3, rank)])(by_group)

    return axes


def _simplest(axes: Iterable[Axis]) -> tuple[Axis, ...]:
    """The axes from the outermost, neighbours that make one taken as one."""
    found: list[Axis] = []
    for axis in sorted(axes, reverse=True):
        if found and found[-1].stride == axis.stride * axis.extent:
            axis = Axis(axis.stride, found.pop().extent * axis.extent)
        found.append(axis)
    return tuple(found)


def _along(shape: Sequence[int], axes: tuple[Axis, ...]) -> Filters | None:
    """A filter for each index along `axes`, the dimensions of `shape` divided only where needed.

    Nothing where that is each index of dimension 0.
    """
    edges = {edge for axis in axes for edge in (axis.stride, axis.stride * axis.extent)}
    view: list[int] = []
    dims: list[int] = []
    stride = math.prod(shape)
    if not stride:
        return None
    for size in shape:
        above, stride = stride, stride // size
        cuts = [above, *sorted((e for e in edges if stride < e < above), reverse=True), stride]
        for outer, inner in pairwise(cuts):
            inside = any(a.stride <= inner and outer <= a.stride * a.extent for a in axes)
            if inside and inner < outer:
                dims.append(len(view))
            view.append(outer // inner)
    by_row = [0] if shape[0] > 1 else []
    return None if view == list(shape) and dims == by_row else Filters(tuple(view), tuple(dims))


def _value(node: Node, name: str) -> int:
    argument = node.argument(name)
    return argument.value if isinstance(argument, TensorRef) else UNUSED


# ---- products of two operands or more


def _operands(node: Node) -> list[tuple[int, _Summed]]:
    if node.operator == "aten.einsum.default":
        return _of_einsum(node)
    found = []
    for name, summed in _PRODUCTS.get(node.operator, {}).items():
        argument = node.argument(name)
        if not isinstance(argument, TensorRef):
            return []
        found.append((argument.value, summed))
    return found


def _of_einsum(node: Node) -> list[tuple[int, _Summed]]:
    equation, tensors = node.argument("equation"), node.argument("tensors")
    if not isinstance(equation, str) or not isinstance(tensors, tuple):
        return []
    left, arrow, right = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    if (
        not arrow
        or len(terms) != len(tensors)
        or any(len(set(t)) < len(t) - 2 * ("..." in t) for t in terms)
    ):
        return []
    return [
        (tensor.value, _absent(term, right))
        for term, tensor in zip(terms, tensors, strict=True)
        if isinstance(tensor, TensorRef)
    ]


def _absent(term: str, right: str) -> _Summed:
    """The dimensions of an operand whose letters are not in the result."""

    def summed(node: Node, rank: int) -> list[int]:
        before, _, after = term.partition("...")
        letters = [*before, *["..."] * (rank - len(before) - len(after)), *after]
        return [place for place, letter in enumerate(letters) if letter not in right]

    return summed


def _last(node: Node, rank: int) -> list[int]:
    return [rank - 1]


def _last_but_one(node: Node, rank: int) -> list[int]:
    return [max(rank - 2, 0)]


def _first_and_last(node: Node, rank: int) -> list[int]:
    return [0, rank - 1]


def _first_two(node: Node, rank: int) -> list[int]:
    return [0, 1]


def _named(name: str, default: int | None = None) -> _Summed:
    def summed(node: Node, rank: int) -> list[int]:
        value = node.argument(name)
        items = value if isinstance(value, tuple) else (default if value is None else value,)
        dims = range(rank)
        return [dims[i] for i in items if type(i) is int and -rank <= i < rank]

    return summed


_PRODUCTS: Final[dict[str, dict[str, _Summed]]] = {
    "aten.linear.default": {"input": _last, "weight": _last},
    "aten.mm.default": {"self": _last, "mat2": _last_but_one},
    "aten.bmm.default": {"self": _last, "mat2": _last_but_one},
    "aten.matmul.default": {"self": _last, "other": _last_but_one},
    "aten.addmm.default": {"mat1": _last, "mat2": _last_but_one},
    "aten.baddbmm.default": {"batch1": _last, "batch2": _last_but_one},
    "aten.addbmm.default": {"batch1": _first_and_last, "batch2": _first_two},
    "aten.mv.default": {"self": _last, "vec": _last},
    "aten.addmv.default": {"mat": _last, "vec": _last},
    "aten.inner.default": {"self": _last, "other": _last},
    "aten.tensordot.default": {"self": _named("dims_self"), "other": _named("dims_other")},
    "aten.linalg_vecdot.default": {"x": _named("dim", -1), "y": _named("dim", -1)},
    "aten.cosine_similarity.default": {"x1": _named("dim", 1), "x2": _named("dim", 1)},
    "aten.pairwise_distance.default": {"x1": _last, "x2": _last},
    "aten.cdist.default": {"x1": _last, "x2": _last},
}
