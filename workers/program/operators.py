"""A graph's nodes as calls of PyTorch's operators: each bound once, for one situation.

Owns which operator stands for which: a view becomes a reshape (so that any memory format and any
batching will do), fused attention becomes the plain one, what is the identity in evaluation mode
vanishes, and where derivatives are wanted the forms of `derivatives` stand for operators that lack
them. Runs nothing.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import torch
from torch import Tensor

from service.programs import limits
from service.programs.graph import UNUSED, Arg, Graph, Node, TensorRef
from service.programs.refusal import ProgramRefused
from service.programs.schema import schema_of
from workers.program.derivatives import FORMS, require_sizes
from workers.program.literals import Situation

_ATTENTION: Final = "aten.scaled_dot_product_attention.default"
_INT64_MAX: Final = (1 << 63) - 1
#: `cdist`'s number for "donot_use_mm_for_euclid_dist".
_NO_PRODUCTS: Final = 2


@dataclass(frozen=True)
class Call:
    """One operator and its arguments; tensors and sizes among them are references to values.

    Attributes:
        operator: its name, after any replacement.
        outputs: numbers of the values it defines; `UNUSED` where none reads it.
        spread: whether it returns a sequence with one entry per output.
        node: the position of the graph's node that it carries out.
    """

    operator: str
    function: Callable[..., Any]
    positional: tuple[Any, ...]
    keywords: tuple[tuple[str, Any], ...]
    outputs: tuple[int, ...]
    spread: bool
    node: int


def calls_of(graph: Graph, situation: Situation) -> tuple[tuple[Call, ...], int]:
    """The graph's calls in order, identities left out, and the number of its output.

    Raises:
        ProgramRefused: `not_bindable`, for a result that the bound operator does not have.
    """
    same: dict[int, int] = {}
    calls: list[Call] = []
    for index, node in enumerate(graph.nodes):
        node = _resolved(node, same)
        source = _identity(node, situation)
        if source is not None:
            same[node.outputs[0]] = source
        elif node.outputs:
            calls.append(_call(node, index, situation))
    return tuple(calls), same.get(graph.output, graph.output)


def _resolved(node: Node, same: Mapping[int, int]) -> Node:
    if not same:
        return node

    def resolve(argument: Arg) -> Arg:
        if isinstance(argument, TensorRef):
            return TensorRef(same.get(argument.value, argument.value))
        if isinstance(argument, tuple):
            return tuple(resolve(item) for item in argument)
        return argument

    return replace(node, arguments=tuple((name, resolve(arg)) for name, arg in node.arguments))


#: Results equal to their first argument, whatever else is said.
_IDENTITIES: Final = frozenset(
    {
        "aten.alias.default",
        "aten.lift_fresh.default",
        "aten.lift_fresh_copy.default",
        "aten.dropout.default",
        "aten.feature_dropout.default",
        "aten.alpha_dropout.default",
        "aten.feature_alpha_dropout.default",
        "aten.native_dropout.default",
    }
)
#: Results equal to their first argument in another memory format, which no value depends on.
_FORMATTINGS: Final = frozenset({"aten.clone.default", "aten.contiguous.default"})
#: Results equal to their first argument where nothing is added to it.
_PADDINGS: Final = frozenset({"aten.constant_pad_nd.default", "aten.pad.default"})
#: Copies to a device and perhaps a type; devices follow the inputs.
_COPIES: Final = frozenset({"aten.to.device", "aten.to.dtype_layout", "aten._to_copy.default"})


def _identity(node: Node, situation: Situation) -> int | None:
    """The value that a node merely repeats, or nothing."""
    if node.operator in _FORMATTINGS:
        plain = node.operator == "aten.clone.default" and node.argument("memory_format") is None
        repeats = plain or situation.differentiable
    elif node.operator in _COPIES:
        repeats = node.argument("dtype") is None
    elif node.operator == "aten.slice.Tensor":
        repeats = _is_whole(node)
    elif node.operator in _PADDINGS:
        repeats = not any(amount != 0 for amount in _sequence(node.argument("pad")))
    else:
        repeats = node.operator in _IDENTITIES
    if not repeats or len([o for o in node.outputs if o != UNUSED]) > 1:
        return None
    source = node.arguments[0][1]
    return source.value if isinstance(source, TensorRef) and node.outputs else None


def _is_whole(node: Node) -> bool:
    """Whether a slice leaves nothing out."""
    end, step = node.argument("end"), node.argument("step")
    return (
        node.argument("start") in (None, 0)
        and (end is None or (isinstance(end, int) and end >= _INT64_MAX))
        and step in (None, 1)
    )


def _sequence(argument: Arg) -> tuple[Arg, ...]:
    return argument if isinstance(argument, tuple) else (argument,)


def _call(node: Node, index: int, situation: Situation) -> Call:
    if node.operator.startswith("sym."):
        function, arguments = _SYMBOLIC[node.operator], tuple(arg for _, arg in node.arguments)
        return Call(node.operator, function, arguments, (), node.outputs, False, index)
    replacement = _REPLACEMENTS.get(node.operator)
    if replacement is not None:
        node = replacement(node, situation)
    schema = schema_of(node.operator)
    assert schema is not None  # noqa: S101 - validation let nothing else through
    given = {name: situation.value(argument) for name, argument in node.arguments}
    if situation.differentiable:
        given.pop("memory_format", None)
    if schema.parameter("device") and not any(p.base == "tensor" for p in schema.parameters):
        given["device"] = situation.device  # a tensor made of literals
    positional: list[Any] = []
    for parameter in schema.parameters:
        if parameter.keyword_only or parameter.name not in given:
            break
        positional.append(given.pop(parameter.name))
    return Call(
        node.operator,
        _function(node.operator, situation, plain=not given),
        tuple(positional),
        tuple(given.items()),
        node.outputs,
        schema.returns == ("tensors",) or len(schema.returns) > 1,
        index,
    )


def _function(name: str, situation: Situation, *, plain: bool) -> Callable[..., Any]:
    """What computes an operator; `plain` when all its arguments are positional."""
    form = FORMS.get(name) if situation.differentiable else None
    if form is not None:
        return form
    direct = _DIRECT.get(name) if plain else None
    return direct or _overload(name)


def _overload(name: str) -> Callable[..., Any]:
    """The operator itself, without the Python layer that a call of it would first go through."""
    _, packet, overload = name.split(".")
    bound = getattr(getattr(torch.ops.aten, packet), overload)
    function: Callable[..., Any] = bound._op
    return function


# Replacements: an operator by one that computes the same and binds more widely.


def _renamed(name: str, *, drop: tuple[str, ...] = (), **names: str) -> Callable[..., Node]:
    def rename(node: Node, situation: Situation) -> Node:
        return replace(
            node,
            operator=name,
            arguments=tuple(
                (names.get(key, key), argument)
                for key, argument in node.arguments
                if key not in drop
            ),
        )

    return rename


def _first_only(renamed: Callable[..., Node]) -> Callable[..., Node]:
    """For operators whose further results exist only inside PyTorch's own kernels."""

    def rename(node: Node, situation: Situation) -> Node:
        if any(output != UNUSED for output in node.outputs[1:]):
            raise ProgramRefused(
                "not_bindable",
                f"the program reads a second result of {node.operator}, which is an internal of "
                "one kernel; export without decompositions",
                f"node {node.origin}",
            )
        return replace(renamed(node, situation), outputs=node.outputs[:1])

    return rename


def _attention(node: Node, situation: Situation) -> Node:
    """The plain operator for one fused for some device."""
    names = {"attn_bias": "attn_mask"}
    arguments = tuple(
        (names.get(key, key), argument)
        for key, argument in node.arguments
        if key != "compute_log_sumexp"
    )
    return replace(node, operator=_ATTENTION, arguments=arguments)


def _if_first_only(renamed: Callable[..., Node]) -> Callable[..., Node]:
    """The replacement where only the first result is read, else the node as it is."""

    def rename(node: Node, situation: Situation) -> Node:
        if any(output != UNUSED for output in node.outputs[1:]):
            return node
        return replace(renamed(node, situation), outputs=node.outputs[:1])

    return rename


def _plain_batch_norm(node: Node, situation: Situation) -> Node:
    given = dict(node.arguments)
    order = ("input", "weight", "bias", "running_mean", "running_var")
    arguments: list[tuple[str, Arg]] = [(name, given.get(name)) for name in order]
    arguments += [("training", False), ("momentum", given.get("momentum", 0.1))]
    arguments += [("eps", given.get("eps", 1e-5)), ("cudnn_enabled", True)]
    return replace(node, operator="aten.batch_norm.default", arguments=tuple(arguments))


def _plain_group_norm(node: Node, situation: Situation) -> Node:
    given = dict(node.arguments)
    arguments: tuple[tuple[str, Arg], ...] = (
        ("input", given["input"]),
        ("num_groups", given["group"]),
        ("weight", given.get("weight")),
        ("bias", given.get("bias")),
        ("eps", given["eps"]),
    )
    return replace(node, operator="aten.group_norm.default", arguments=arguments)


#: What an optimiser wants of gradients: the loss has no other derivative for it.
_TRAINERS: Final = frozenset({"scale_grad_by_freq", "sparse", "sparse_grad"})


def _without(names: frozenset[str]) -> Callable[[Node, Situation], Node]:
    def leave_out(node: Node, situation: Situation) -> Node:
        kept = tuple(item for item in node.arguments if item[0] not in names)
        return replace(node, arguments=kept)

    return leave_out


def _by_differences(node: Node, situation: Situation) -> Node:
    """Distances without PyTorch's short cut by products of matrices.

    It loses half the digits of near points, and is taken or not by the size of the batch.
    """
    kept = tuple(item for item in node.arguments if item[0] != "compute_mode")
    return replace(node, arguments=(*kept, ("compute_mode", _NO_PRODUCTS)))


def _typed_copy(node: Node, situation: Situation) -> Node:
    arguments = tuple((k, v) for k, v in node.arguments if k in {"self", "dtype", "memory_format"})
    return replace(node, operator="aten.to.dtype", arguments=arguments)


_REPLACEMENTS: Final[Mapping[str, Callable[[Node, Situation], Node]]] = {
    "aten.view.default": _renamed("aten.reshape.default", size="shape"),
    "aten._unsafe_view.default": _renamed("aten.reshape.default", size="shape"),
    "aten.view_as.default": _renamed("aten.reshape_as.default"),
    "aten._scaled_dot_product_flash_attention_for_cpu.default": _first_only(_attention),
    "aten._scaled_dot_product_efficient_attention.default": _first_only(_attention),
    "aten._native_batch_norm_legit_no_training.default": _first_only(_plain_batch_norm),
    "aten.native_layer_norm.default": _if_first_only(_renamed("aten.layer_norm.default")),
    "aten.native_group_norm.default": _if_first_only(_plain_group_norm),
    "aten.cdist.default": _by_differences,
    "aten.embedding.default": _without(_TRAINERS),
    "aten.gather.default": _without(_TRAINERS),
    "aten.to.device": _typed_copy,
    "aten.to.dtype_layout": _typed_copy,
    "aten._to_copy.default": _typed_copy,
}


# Operators that PyTorch has no single one for.


def _size(tensor: Tensor, dim: int) -> int:
    return tensor.shape[dim]


def _bounded(function: Callable[[int, int], int]) -> Callable[[int, int], int]:
    """No tensor has more elements than this, and no size that leads to one is larger."""

    def compute(a: int, b: int) -> int:
        result = function(a, b)
        if not -limits.MAX_TENSOR_ELEMENTS <= result <= limits.MAX_TENSOR_ELEMENTS:
            raise OverflowError(
                f"arithmetic on sizes leads to {result}, beyond {limits.MAX_TENSOR_ELEMENTS}"
            )
        return result

    return compute


_SYMBOLIC: Final[Mapping[str, Callable[..., int]]] = {
    "sym.add": _bounded(operator.add),
    "sym.sub": _bounded(operator.sub),
    "sym.mul": _bounded(operator.mul),
    "sym.floordiv": _bounded(operator.floordiv),
    "sym.mod": _bounded(operator.mod),
    "sym.neg": operator.neg,
    "sym.max": max,
    "sym.min": min,
}


def _copied(tensor: Tensor, source: Tensor, non_blocking: bool = False) -> Tensor:
    """`source` in the shape and type of `tensor`; PyTorch's own has no derivative."""
    return source.to(tensor.dtype).expand_as(tensor).clone()


def _native_group_norm(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    samples: int,
    channels: int,
    positions: int,
    groups: int,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """PyTorch's own, which believes the sizes that it is told."""
    require_sizes(x, samples, channels, positions)
    return torch.native_group_norm(x, weight, bias, samples, channels, positions, groups, eps)


#: PyTorch's own Python functions of the commonest operators: the same kernels, called quicker.
_DIRECT: Final[Mapping[str, Callable[..., Any]]] = {
    "aten.conv1d.default": torch.conv1d,
    "aten.conv2d.default": torch.conv2d,
    "aten.conv3d.default": torch.conv3d,
    "aten.linear.default": torch.nn.functional.linear,
    "aten.batch_norm.default": torch.batch_norm,
    "aten.native_group_norm.default": _native_group_norm,
    "aten.relu.default": torch.relu,
    "aten.add.Tensor": torch.add,
    "aten.mul.Tensor": torch.mul,
    "aten.reshape.default": torch.reshape,
    "aten.flatten.using_ints": torch.flatten,
    "aten.mean.dim": torch.mean,
    "aten.tanh.default": torch.tanh,
    "aten.matmul.default": torch.matmul,
    "aten.copy.default": _copied,
    "aten.fill.Tensor": _copied,
    "aten.fill.Scalar": torch.full_like,
    "aten.zero.default": torch.zeros_like,
    "aten.sym_size.int": _size,
    "aten.sym_numel.default": torch.numel,
}
