"""The rules of a graph, applied alike to what an archive says and to what we stored ourselves.

Owns: allow-listed operators only, arguments of their schema's types, values defined before use
and once, evaluation mode, and the bounds on literals. Pure; reads nothing and computes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, TypeGuard

from service.programs import integers, limits
from service.programs.graph import (
    UNUSED,
    Arg,
    Dtype,
    Graph,
    MemoryFormat,
    Node,
    SymRef,
    TensorRef,
)
from service.programs.refusal import ProgramRefused
from service.programs.schema import Parameter, Schema, schema_of

#: Arithmetic on sizes that the binder does itself, on Python integers.
SYMBOLIC: Final = frozenset(
    {"sym.add", "sym.sub", "sym.mul", "sym.floordiv", "sym.mod", "sym.neg", "sym.max", "sym.min"}
)
_UNARY: Final = frozenset({"sym.neg"})

EVAL_HINT: Final = "call module.eval() before exporting; lossatlas.export_model does"

#: Operators that take a number where their schema says tensor.
_NUMBER_FOR_TENSOR: Final = frozenset({"other"})
_SLICES: Final = frozenset({"aten.slice.Tensor", "aten.slice_scatter.default"})

Where = Callable[[Node], str]


def validate(graph: Graph, where: Where) -> None:
    """Checks every rule.

    Args:
        graph: the graph; its specs have been checked by whoever read them.
        where: the pointer for messages about a node.

    Raises:
        ProgramRefused: naming the first rule broken and the node that breaks it.
    """
    if len(graph.nodes) > limits.MAX_NODES:
        raise ProgramRefused(
            "graph_too_large",
            f"the program has {len(graph.nodes)} operators; at most {limits.MAX_NODES} are taken",
        )
    kinds = ["tensor"] * (len(graph.tensors) + len(graph.inputs))
    for node in graph.nodes:
        try:
            returned = _check_node(node, kinds)
        except _Refused as error:
            raise ProgramRefused(error.code, error.detail, where(node)) from None
        _define(node, returned, kinds, where)
    if not 0 <= graph.output < len(kinds) or kinds[graph.output] != "tensor":
        raise ProgramRefused("bad_output", "the program must return one tensor")


class _Refused(Exception):
    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


def _define(node: Node, returned: tuple[str, ...], kinds: list[str], where: Where) -> None:
    """Numbers must come in order, each once: that is what makes the graph acyclic."""
    for position, output in enumerate(node.outputs):
        if output == UNUSED:
            continue
        if output != len(kinds):
            raise ProgramRefused(
                "value_redefined", "values must be defined once and in order", where(node)
            )
        kinds.append(returned[position] if position < len(returned) else "tensor")


def _check_node(node: Node, kinds: list[str]) -> tuple[str, ...]:
    """Checks one node and says what kinds of values it returns."""
    if node.operator in SYMBOLIC:
        return _check_symbolic(node, kinds)
    schema = schema_of(node.operator)
    if schema is None or schema.mutates:
        raise _Refused("forbidden_operator", f"the operator {node.operator} is not allowed")
    given = dict(node.arguments)
    if len(given) != len(node.arguments):
        raise _Refused("bad_argument", f"{node.operator} is given an argument twice")
    known = {parameter.name for parameter in schema.parameters}
    for name in given:
        if name not in known:
            raise _Refused("bad_argument", f"{node.operator} has no argument {name!r}")
    for parameter in schema.parameters:
        if parameter.name in given:
            _check_argument(node.operator, parameter, given[parameter.name], kinds)
        elif parameter.required:
            raise _Refused("bad_argument", f"{node.operator} lacks its {parameter.name!r}")
    _check_mode(node)
    _check_literals(node)
    return _check_outputs(node, schema)


def _check_outputs(node: Node, schema: Schema) -> tuple[str, ...]:
    if schema.returns == ("tensors",):
        if not 0 < len(node.outputs) <= limits.MAX_LIST:
            raise _Refused("bad_graph", f"{node.operator} has {len(node.outputs)} outputs")
        return ("tensor",) * len(node.outputs)
    if len(node.outputs) != len(schema.returns):
        raise _Refused(
            "bad_graph",
            f"{node.operator} returns {len(schema.returns)} values, not {len(node.outputs)}",
        )
    return schema.returns


def _check_symbolic(node: Node, kinds: list[str]) -> tuple[str, ...]:
    wanted = ("a",) if node.operator in _UNARY else ("a", "b")
    if tuple(name for name, _ in node.arguments) != wanted or len(node.outputs) != 1:
        raise _Refused("bad_argument", f"{node.operator} takes {len(wanted)} integers")
    for name, value in node.arguments:
        if type(value) is int:
            if abs(value) > limits.MAX_LITERAL:
                raise _Refused("literal_too_large", f"{value} in arithmetic on sizes")
        elif not (isinstance(value, SymRef) and _kind(value.value, kinds) == "int"):
            raise _Refused("bad_argument", f"{node.operator} takes integers as {name!r}")
    return ("int",)


def _check_argument(operator: str, parameter: Parameter, value: Arg, kinds: list[str]) -> None:
    if value is None:
        if not parameter.optional:
            raise _Refused("bad_argument", f"{operator} needs {parameter.name!r}")
        return
    if parameter.is_list:
        if isinstance(value, tuple):
            if len(value) > limits.MAX_LIST:
                raise _Refused("graph_too_large", f"{operator}: {parameter.name!r} is too long")
            for item in value:
                if item is None and parameter.item_optional:
                    continue
                _check_scalar(operator, parameter, item, kinds)
            return
        if not parameter.broadcast:
            raise _Refused("bad_argument", f"{operator} takes a list as {parameter.name!r}")
    _check_scalar(operator, parameter, value, kinds)


def _check_scalar(operator: str, parameter: Parameter, value: Arg, kinds: list[str]) -> None:
    base = parameter.base
    if isinstance(value, TensorRef):
        ok = base == "tensor" and _kind(value.value, kinds) == "tensor"
    elif isinstance(value, SymRef):
        ok = (
            parameter.symbolic
            or base == "scalar"
            or (base == "tensor" and parameter.name in _NUMBER_FOR_TENSOR)
        ) and _kind(value.value, kinds) == "int"
    elif isinstance(value, bool):
        ok = base in {"bool", "scalar"} or (
            base == "tensor" and parameter.name in _NUMBER_FOR_TENSOR
        )
    elif isinstance(value, int | float):
        wanted = {"float", "scalar"} | ({"int"} if isinstance(value, int) else set())
        ok = base in wanted or (base == "tensor" and parameter.name in _NUMBER_FOR_TENSOR)
    elif isinstance(value, str):
        ok = base == "string" and len(value) <= limits.MAX_STRING
    elif isinstance(value, Dtype):
        ok = base == "dtype"
    elif isinstance(value, MemoryFormat):
        ok = base == "memory_format"
    else:
        ok = False
    if not ok:
        raise _Refused(
            "bad_argument", f"{operator} takes {base} as {parameter.name!r}, not {value!r:.80}"
        )


def _kind(value: int, kinds: list[str]) -> str:
    if not 0 <= value < len(kinds):
        raise _Refused("value_undefined", "a value is used before it is defined")
    return kinds[value]


def _check_mode(node: Node) -> None:
    """Refuses what only makes sense in training: it would draw numbers or change buffers."""
    operator = node.operator
    if operator == "aten.batch_norm.default" and (
        node.argument("training") is not False or node.argument("running_mean") is None
    ):
        raise _Refused("training_mode", f"a batch norm uses the batch's statistics; {EVAL_HINT}")
    if operator == "aten.instance_norm.default":
        if node.argument("use_input_stats") is True and node.argument("running_mean") is not None:
            raise _Refused("training_mode", f"an instance norm updates buffers; {EVAL_HINT}")
    elif operator == "aten.scaled_dot_product_attention.default" or "_scaled_dot" in operator:
        if node.argument("dropout_p") not in {None, 0}:
            raise _Refused("training_mode", f"attention draws a dropout mask; {EVAL_HINT}")
    elif "dropout" in operator:
        raise _Refused("training_mode", f"a dropout is active; {EVAL_HINT}")


def _check_literals(node: Node) -> None:
    for name, value in node.arguments:
        numbers = _numbers(value)
        if not numbers:
            continue
        if node.operator in _SLICES and name in {"start", "end"}:
            if any(not limits.INT64_MIN <= n <= limits.INT64_MAX for n in numbers):
                raise _Refused("literal_too_large", f"{node.operator}: {name!r} leaves 64 bits")
            continue
        exact = [n for n in numbers if isinstance(n, int)]
        if any(abs(n) > limits.MAX_LITERAL for n in exact):
            if _is_plain_number(node, name):
                continue
            raise _Refused("literal_too_large", f"{node.operator}: {name!r} is {max(exact)}")
        try:
            integers.check(node.operator, name, exact, most=limits.MAX_LITERAL_ELEMENTS)
        except integers.IntegerTooLarge as error:
            raise _Refused("literal_too_large", str(error)) from None
        if name == "scale_factors" and not _product(numbers) <= limits.MAX_ENLARGEMENT:
            raise _Refused(
                "literal_too_large",
                f"{node.operator}: {name!r} enlarges more than {limits.MAX_ENLARGEMENT} times",
            )
    _check_range(node)


def _is_plain_number(node: Node, name: str) -> bool:
    """Whether a large integer is a value among values (a mask's fill), not a size."""
    schema = schema_of(node.operator)
    parameter = schema.parameter(name) if schema else None
    return (
        parameter is not None
        and (parameter.base == "scalar" or parameter.name in _NUMBER_FOR_TENSOR)
        and not node.operator.startswith(("aten.arange", "aten.linspace"))
    )


def _check_range(node: Node) -> None:
    """Bounds what arange, linspace, eye and the index triangles make."""
    if node.operator.startswith("aten.arange"):
        start = node.argument("start") or 0
        end, step = node.argument("end"), node.argument("step") or 1
        if not (_plain(start) and _plain(end) and _plain(step)):
            return
        count: float = abs(end - start) / abs(step) if step else math.inf
    elif node.operator == "aten.linspace.default":
        steps = node.argument("steps")
        count = steps if isinstance(steps, int) else 0
    elif node.operator in {"aten.eye.default", "aten.eye.m"}:
        n = node.argument("n")
        m = node.argument("m") if node.operator == "aten.eye.m" else n
        count = n * m if isinstance(n, int) and isinstance(m, int) else 0
    elif node.operator in {"aten.tril_indices.default", "aten.triu_indices.default"}:
        rows, columns = node.argument("row"), node.argument("col")
        count = rows * columns if isinstance(rows, int) and isinstance(columns, int) else 0
    else:
        return
    if not count <= limits.MAX_LITERAL_ELEMENTS:
        raise _Refused("literal_too_large", f"{node.operator} makes {count:g} numbers")


def _plain(value: Arg) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _numbers(value: Arg) -> list[int | float]:
    if isinstance(value, bool):
        return []
    if isinstance(value, int | float):
        return [value]
    if isinstance(value, tuple):
        return [number for item in value for number in _numbers(item)]
    return []


def _product(numbers: list[int | float]) -> float:
    product = 1.0
    for number in numbers:
        if number > 1 or number != number:
            product *= number
    return product
