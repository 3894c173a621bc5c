"""What a graph's values show of its tensors: parameters followed from where they are stored to use.

Owns which operators only show their argument otherwise, and how each moves its dimensions. A value
computed from the inputs shows nothing, nor does one whose making is not known here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from service.programs import limits
from service.programs.axes import (
    Seen,
    as_stored,
    cut,
    of_sizes,
    permuted,
    reshaped,
    size_of,
    spread,
    united,
    with_new,
    without,
)
from service.programs.graph import UNUSED, Arg, Graph, Node, TensorRef

#: What a value shows of each of the graph's tensors, by number; its own sizes under `SIZES`.
View = Mapping[int, Seen]
SIZES: Final = -1
#: Values that mix more tensors than this are not followed: it bounds the work on any graph.
_MOST: Final = 8

#: Operators that keep every element in its place, with or without changing its number.
_IN_PLACE: Final = frozenset(
    {
        "aten.to.dtype",
        "aten.to.dtype_layout",
        "aten.to.device",
        "aten.to.other",
        "aten.to.prim_Device",
        "aten.to.prim_dtype",
        "aten._to_copy.default",
        "aten.type_as.default",
        "aten.alias.default",
        "aten.contiguous.default",
        "aten.clone.default",
        "aten.detach.default",
        "aten.lift_fresh.default",
        "aten.lift_fresh_copy.default",
        "aten.add.Scalar",
        "aten.sub.Scalar",
        "aten.rsub.Scalar",
        "aten.mul.Scalar",
        "aten.multiply.Scalar",
        "aten.div.Scalar",
        "aten.divide.Scalar",
        "aten.true_divide.Scalar",
        "aten.pow.Tensor_Scalar",
        "aten.square.default",
        "aten.sqrt.default",
        "aten.rsqrt.default",
        "aten.reciprocal.default",
        "aten.exp.default",
        "aten.log.default",
        "aten.abs.default",
        "aten.neg.default",
        "aten.sign.default",
        "aten.round.default",
        "aten.clamp.default",
        "aten.clamp_min.default",
        "aten.clamp_max.default",
        "aten.relu.default",
        "aten.sigmoid.default",
        "aten.tanh.default",
        "aten.softplus.default",
        "aten.tril.default",
        "aten.triu.default",
    }
)
_ELEMENTWISE: Final = frozenset(
    {
        "aten.add.Tensor",
        "aten.sub.Tensor",
        "aten.rsub.Tensor",
        "aten.mul.Tensor",
        "aten.multiply.Tensor",
        "aten.div.Tensor",
        "aten.divide.Tensor",
        "aten.true_divide.Tensor",
        "aten.where.self",
        "aten.masked_fill.Scalar",
    }
)
_FILLED: Final = frozenset({"aten.zeros.default", "aten.ones.default", "aten.full.default"})
#: A number of the weights, as spectral and weight normalisation divide them by: its sizes alone.
_NUMBERS: Final = frozenset(
    {"aten.dot.default", "aten.sum.default", "aten.norm.Scalar", "aten.trace.default"}
)
_REDUCED: Final = frozenset(
    {
        "aten.linalg_vector_norm.default",
        "aten.norm.ScalarOpt_dim",
        "aten.sum.dim_IntList",
        "aten.mean.dim",
        "aten.amax.default",
        "aten.var.correction",
        "aten.std.correction",
    }
)
_SPREAD_LIKE: Final = frozenset({"aten.expand_as.default"})
_LIKE: Final = _SPREAD_LIKE | {"aten.view_as.default", "aten.reshape_as.default"}
_TURNED: Final = frozenset({"aten.flip.default", "aten.roll.default"})


def views(graph: Graph) -> dict[int, View]:
    """For every value made of the graph's tensors alone, as far as it can be followed, its view."""
    found: dict[int, View] = {
        index: {SIZES: of_sizes(spec.shape), index: as_stored(spec.shape)}
        for index, spec in enumerate(graph.tensors)
    }
    changing = fed(graph)
    for node in graph.nodes:
        if not changing.isdisjoint(node.outputs):
            continue
        made = _made(node, found)
        for output, view in zip(node.outputs, made, strict=False):
            if output != UNUSED and view is not None and _bounded(view):
                found[output] = view
    return found


def fed(graph: Graph) -> frozenset[int]:
    """The values that depend on an input."""
    first = len(graph.tensors)
    found = set(range(first, first + len(graph.inputs)))
    for node in graph.nodes:
        # Sizes are no numbers of the input: a weight expanded to the batch depends on none.
        if not found.isdisjoint(_operands(node)):
            found.update(node.outputs)
    return frozenset(found - {UNUSED})


def sizes(view: View) -> tuple[int | None, ...]:
    """The sizes of a value."""
    return tuple(size_of(dim) for dim in view[SIZES].dims)


def reshape(view: View, to: Sequence[int | None]) -> View | None:
    """The view under other sizes of as many elements."""
    changed = {index: reshaped(seen, to) for index, seen in view.items()}
    if changed[SIZES] is None:
        return None
    return {index: seen for index, seen in changed.items() if seen is not None}


def _bounded(view: View) -> bool:
    return len(view) - 1 <= _MOST and len(view[SIZES].dims) <= limits.MAX_RANK


def _made(node: Node, found: Mapping[int, View]) -> Sequence[View | None]:
    if node.operator in _FILLED:
        asked = node.argument("size")
        return [{SIZES: of_sizes(_several(asked))}] if _literal(asked) else ()
    if node.operator in _NUMBERS:
        return [{SIZES: of_sizes(())}]
    values = _tensors(node.arguments[0][1]) if node.arguments else ()
    if node.operator not in _IN_PLACE:
        values = tuple(_operands(node))
    if not 0 < len(values) <= _MOST or any(value not in found for value in values):
        return ()
    try:
        return _shown(node, found)
    except (ArithmeticError, IndexError, TypeError, ValueError):
        # Sizes that do not fit together: the graph will fail where it runs, not here.
        return ()


def _shown(node: Node, found: Mapping[int, View]) -> Sequence[View | None]:
    operator = node.operator
    if operator in _ELEMENTWISE:
        return [_broadcast([found[v] for v in _operands(node)])]
    first = node.arguments[0][1]
    if isinstance(first, tuple):
        parts = [found[value] for value in _tensors(first)]
        if operator in {"aten.cat.default", "aten.concat.default", "aten.concatenate.default"}:
            return [_joined(parts, _whole(node.argument("dim") or 0))]
        if operator == "aten.stack.default":
            dim = _whole(node.argument("dim") or 0) % (len(sizes(parts[0])) + 1)
            return [_joined([_each(part, with_new, dim) for part in parts], dim)]
        return ()
    if not isinstance(first, TensorRef):
        return ()
    view = found[first.value]
    if operator in _IN_PLACE:
        return [view]
    if operator in _REDUCED:
        return [{SIZES: of_sizes(_left(node, view))}]
    if operator in _TURNED:
        turned = _several(node.argument("dims"))
        if not turned:
            return ()
        for dim in turned:
            view = _each(view, cut, _at(view, dim), sizes(view)[dim])
        return [view]
    if operator in _LIKE:
        to = sizes(found[_operands(node)[1]])
        return [_each(view, spread, to) if operator in _SPREAD_LIKE else reshape(view, to)]
    if operator in _ORDERS:
        order = _ORDERS[operator](node, len(sizes(view)))
        return [_each(view, permuted, order)] if sorted(order) == [*range(len(order))] else ()
    if operator in _SIZED:
        return [_SIZED[operator](node, view)]
    if operator in _PARTS:
        return _PARTS[operator](node, view)
    return ()


def _each(view: View, function: Callable[..., Seen], *arguments: object) -> View:
    return {index: function(seen, *arguments) for index, seen in view.items()}


def _left(node: Node, view: View) -> list[int | None]:
    """The sizes that a sum over some dimensions leaves."""
    over = {_at(view, dim) for dim in _several(node.argument("dim"))} or {*range(len(sizes(view)))}
    if node.argument("keepdim") is True:
        return [1 if place in over else size for place, size in enumerate(sizes(view))]
    return [size for place, size in enumerate(sizes(view)) if place not in over]


def _broadcast(operands: list[View]) -> View | None:
    if any(len(sizes(view)) > limits.MAX_RANK for view in operands):
        return None
    rank = max(len(sizes(view)) for view in operands)
    aligned = [(1,) * (rank - len(sizes(view))) + sizes(view) for view in operands]
    to = [_wider(every) for every in zip(*aligned, strict=True)]
    return _merged([_each(view, spread, to) for view in operands])


def _wider(every: Iterable[int | None]) -> int | None:
    known = {size for size in every if size != 1}
    if len(known - {None}) > 1:
        raise ValueError("sizes that do not broadcast")
    return next(iter(known - {None}), None if known else 1)


def _joined(parts: list[View], dim: int) -> View:
    dim = _at(parts[0], dim)
    along = [sizes(part)[dim] for part in parts]
    total = None if None in along else sum(size for size in along if size is not None)
    return _merged([_each(part, cut, dim, total) for part in parts])


def _merged(parts: list[View]) -> View:
    found: dict[int, Seen] = {}
    for part in parts:
        for index, seen in part.items():
            found[index] = united(found[index], seen) if index in found else seen
    return found


def _operands(node: Node) -> list[int]:
    return [value for _, argument in node.arguments for value in _tensors(argument)]


def _tensors(argument: Arg) -> tuple[int, ...]:
    items = argument if isinstance(argument, tuple) else (argument,)
    return tuple(item.value for item in items if isinstance(item, TensorRef))


def _whole(argument: Arg) -> int:
    if type(argument) is not int:
        raise TypeError("a size that is known only when the graph runs")
    return argument


def _several(argument: Arg) -> list[int]:
    items = argument if isinstance(argument, tuple) else () if argument is None else (argument,)
    return [_whole(item) for item in items]


def _literal(argument: Arg) -> bool:
    return isinstance(argument, tuple) and all(type(item) is int for item in argument)


def _at(view: View, dim: int) -> int:
    """The dimension counted from the front."""
    return range(len(view[SIZES].dims))[dim]


# ---- dimensions in another order


def _swapped(one: str, other: str) -> Callable[[Node, int], list[int]]:
    def order(node: Node, rank: int) -> list[int]:
        found = list(range(rank))
        a, b = _whole(node.argument(one)), _whole(node.argument(other))
        found[a], found[b] = found[b], found[a]
        return found

    return order


def _moved(node: Node, rank: int) -> list[int]:
    dims = range(rank)
    source = [dims[d] for d in _several(node.argument("source"))]
    target = [dims[d] for d in _several(node.argument("destination"))]
    found = [d for d in dims if d not in source]
    for place, dim in sorted(zip(target, source, strict=True)):
        found.insert(place, dim)
    return found


def _last_two(node: Node, rank: int) -> list[int]:
    return [*range(rank - 2), rank - 1, rank - 2]


_ORDERS: Final[dict[str, Callable[[Node, int], list[int]]]] = {
    "aten.permute.default": lambda node, rank: [
        range(rank)[d] for d in _several(node.argument("dims"))
    ],
    "aten.transpose.int": _swapped("dim0", "dim1"),
    "aten.swapaxes.default": _swapped("axis0", "axis1"),
    "aten.swapdims.default": _swapped("dim0", "dim1"),
    "aten.t.default": lambda node, rank: [*range(rank)][::-1],
    "aten.numpy_T.default": lambda node, rank: [*range(rank)][::-1],
    "aten.mT.default": _last_two,
    "aten.adjoint.default": _last_two,
    "aten.movedim.int": _moved,
    "aten.movedim.intlist": _moved,
}


# ---- other sizes


def _wanted(argument: Arg, own: Sequence[int | None]) -> list[int | None]:
    """The sizes asked for, -1 worked out where the others are known."""
    items = argument if isinstance(argument, tuple) else (argument,)
    asked = [item if type(item) is int else None for item in items]
    if -1 not in asked:
        return asked
    total, rest = 1, 1
    for size in own:
        total = total * size if size is not None and total else 0
    for size in asked:
        rest = rest * (1 if size == -1 else size or 0)
    left = total // rest if total and rest and total % rest == 0 else None
    return [left if size == -1 else size for size in asked]


def _to_size(name: str) -> Callable[[Node, View], View | None]:
    return lambda node, view: reshape(view, _wanted(node.argument(name), sizes(view)))


def _flattened(node: Node, view: View) -> View | None:
    own = list(sizes(view))
    end = node.argument("end_dim")
    first = _at(view, _whole(node.argument("start_dim") or 0))
    last = _at(view, -1 if end is None else _whole(end))
    return reshape(view, [*own[:first], _product(own[first : last + 1]), *own[last + 1 :]])


def _product(several: Sequence[int | None]) -> int | None:
    product = 1
    for size in several:
        if size is None:
            return None
        product *= size
    return product


def _unflattened(node: Node, view: View) -> View | None:
    own = list(sizes(view))
    dim = _at(view, _whole(node.argument("dim")))
    return reshape(view, own[:dim] + _wanted(node.argument("sizes"), [own[dim]]) + own[dim + 1 :])


def _squeezed(node: Node, view: View) -> View | None:
    asked = node.argument("dim")
    dims = range(len(sizes(view))) if asked is None else _several(asked)
    for dim in sorted({_at(view, dim) for dim in dims}, reverse=True):
        size = sizes(view)[dim]
        if size is None:
            return None
        if size == 1:
            view = _each(view, without, dim)
    return view


def _unsqueezed(node: Node, view: View) -> View | None:
    dim = range(len(sizes(view)) + 1)[_whole(node.argument("dim"))]
    return _each(view, with_new, dim)


def _expanded(node: Node, view: View) -> View | None:
    asked = node.argument("size")
    items = asked if isinstance(asked, tuple) else (asked,)
    own = (None,) * (len(items) - len(sizes(view))) + sizes(view)
    to = [
        (mine if item == -1 else item) if type(item) is int else None
        for item, mine in zip(items, own, strict=True)
    ]
    return _each(view, spread, to)


_SIZED: Final[dict[str, Callable[[Node, View], View | None]]] = {
    "aten.view.default": _to_size("size"),
    "aten.reshape.default": _to_size("shape"),
    "aten._unsafe_view.default": _to_size("size"),
    "aten.flatten.using_ints": _flattened,
    "aten.unflatten.int": _unflattened,
    "aten.squeeze.default": _squeezed,
    "aten.squeeze.dim": _squeezed,
    "aten.squeeze.dims": _squeezed,
    "aten.unsqueeze.default": _unsqueezed,
    "aten.expand.default": _expanded,
    "aten.broadcast_to.default": _expanded,
}


# ---- parts


def _dim(node: Node, view: View) -> int:
    return _at(view, _whole(node.argument("dim") or 0))


def _part(view: View, dim: int, size: int | None) -> View:
    return view if sizes(view)[dim] == size else _each(view, cut, dim, size)


def _pieces(node: Node, view: View, several: Iterable[int | None]) -> list[View | None]:
    dim = _dim(node, view)
    return [_part(view, dim, size) for size in several]


def _known(node: Node, view: View) -> int:
    size = sizes(view)[_dim(node, view)]
    if size is None:
        raise TypeError("a size that is known only when the graph runs")
    return size


def _chunked(node: Node, view: View) -> list[View | None]:
    size, asked = _known(node, view), _whole(node.argument("chunks"))
    return _of_each(node, view, -(-size // asked))


def _split(node: Node, view: View) -> list[View | None]:
    return _of_each(node, view, _whole(node.argument("split_size")))


def _of_each(node: Node, view: View, each: int) -> list[View | None]:
    size, count = _known(node, view), len(node.outputs)
    return _pieces(node, view, [min(each, size - place * each) for place in range(count)])


def _sections(node: Node, view: View) -> list[View | None]:
    size, count = _known(node, view), len(node.outputs)
    return _pieces(node, view, [size // count + (i < size % count) for i in range(count)])


def _of_sizes(name: str) -> Callable[[Node, View], list[View | None]]:
    return lambda node, view: _pieces(node, view, _several(node.argument(name)))


def _sliced(node: Node, view: View) -> list[View | None]:
    dim = _dim(node, view)
    size = _known(node, view)
    start, end, step = (node.argument(name) for name in ("start", "end", "step"))
    indices = range(size)[
        None if start is None else _whole(start) : None if end is None else _whole(end)
    ]
    return [_part(view, dim, len(indices[:: 1 if step is None else _whole(step)]))]


_PARTS: Final[dict[str, Callable[[Node, View], Sequence[View | None]]]] = {
    "aten.chunk.default": _chunked,
    "aten.unsafe_chunk.default": _chunked,
    "aten.split.Tensor": _split,
    "aten.unsafe_split.Tensor": _split,
    "aten.split.sizes": _of_sizes("split_size"),
    "aten.split_with_sizes.default": _of_sizes("split_sizes"),
    "aten.tensor_split.sections": _sections,
    "aten.unbind.int": lambda node, view: (
        [_each(view, without, _dim(node, view))] * len(node.outputs)
    ),
    "aten.slice.Tensor": _sliced,
    "aten.select.int": lambda node, view: [_each(view, without, _dim(node, view))],
    "aten.narrow.default": lambda node, view: [
        _part(view, _dim(node, view), _whole(node.argument("length")))
    ],
}
