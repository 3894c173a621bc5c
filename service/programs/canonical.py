"""The form in which a checked graph is kept: plain JSON of our own, equal bytes for equal graphs.

Owns `encode` and `decode`. Decoding trusts nothing: it checks every rule again, because what is
stored may have been changed. Weights are not in it; constants are kept beside it, as safetensors.

    {"format": "lossatlas-program", "version": 1,
     "tensors": [{"name", "shape", "dtype", "role"}],
     "inputs": [{"name", "dtype", "shape", "sample"}],
     "nodes": [[operator, [[parameter, value], …], [output, …]], …],
     "output": n, "tied": [[other, name], …]}

A value is JSON's own null, true, number, string or list; or an object with one key: `tensor` or
`size` with the number of a value, `dtype`, `memory_format`, or `float` for those that JSON lacks.
"""

from __future__ import annotations

import json
import math
from typing import Any, Final, cast

from service.programs import limits
from service.programs.graph import (
    FLOATING,
    ITEM_SIZES,
    MEMORY_FORMATS,
    UNUSED,
    Arg,
    Dtype,
    Graph,
    InputSpec,
    MemoryFormat,
    Node,
    Role,
    SymRef,
    TensorRef,
    TensorSpec,
)
from service.programs.interface import INPUT_NAME
from service.programs.payload import TENSOR_NAME
from service.programs.refusal import ProgramRefused
from service.programs.roles import with_roles
from service.programs.strictjson import Reader, parse
from service.programs.validation import validate

FORMAT: Final = "lossatlas-program"
VERSION: Final = 1
_MEMBER: Final = "graph.json"
_ROLES: Final = ("parameter", "buffer", "constant")
_OPERATOR_LENGTH: Final = 200


def encode(graph: Graph) -> bytes:
    """The canonical bytes of a graph.

    Raises:
        ProgramRefused: `graph_too_large`.
    """
    document = {
        "format": FORMAT,
        "version": VERSION,
        "tensors": [
            {"name": t.name, "shape": list(t.shape), "dtype": t.dtype, "role": t.role}
            for t in graph.tensors
        ],
        "inputs": [
            {
                "name": spec.name,
                "dtype": spec.dtype,
                "shape": list(spec.shape),
                "sample": list(spec.sample),
            }
            for spec in graph.inputs
        ],
        "nodes": [
            [
                node.operator,
                [[name, _encoded(value)] for name, value in node.arguments],
                list(node.outputs),
            ]
            for node in graph.nodes
        ],
        "output": graph.output,
        "tied": [list(pair) for pair in graph.tied],
    }
    data = json.dumps(
        document, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
    ).encode("ascii")
    if len(data) > limits.MAX_CANONICAL_BYTES:
        raise ProgramRefused(
            "graph_too_large",
            f"the graph takes {len(data)} bytes; at most {limits.MAX_CANONICAL_BYTES} are kept",
        )
    return data


def decode(data: bytes) -> Graph:
    """The graph of canonical bytes, every rule checked again.

    Raises:
        ProgramRefused: what `encode` would not have written, or a graph that breaks a rule.
    """
    if len(data) > limits.MAX_CANONICAL_BYTES:
        raise ProgramRefused(
            "graph_too_large",
            f"the graph has {len(data)} bytes; at most {limits.MAX_CANONICAL_BYTES} are read",
            _MEMBER,
        )
    document = parse(data, _MEMBER)
    _keys(document, {"format", "version", "tensors", "inputs", "nodes", "output", "tied"})
    if document.key("format").text() != FORMAT or document.key("version").integer() != VERSION:
        raise document.refuse(
            "bad_graph", f"not a {FORMAT} of version {VERSION}; register the model again"
        )
    graph = Graph(
        tensors=tuple(
            _read_tensor(item) for item in document.key("tensors").items(limits.MAX_TENSORS)
        ),
        inputs=tuple(_read_input(item) for item in document.key("inputs").items(limits.MAX_INPUTS)),
        nodes=tuple(
            _read_node(item, index)
            for index, item in enumerate(document.key("nodes").items(limits.MAX_NODES))
        ),
        output=document.key("output").integer(),
        tied=tuple(_read_pair(item) for item in document.key("tied").items(limits.MAX_TENSORS)),
    )
    _check_names(document, graph)
    validate(graph, lambda node: f"{_MEMBER}#/nodes/{node.origin}")
    return with_roles(graph)


def _encoded(value: Arg) -> Any:
    if isinstance(value, TensorRef):
        return {"tensor": value.value}
    if isinstance(value, SymRef):
        return {"size": value.value}
    if isinstance(value, Dtype):
        return {"dtype": value.name}
    if isinstance(value, MemoryFormat):
        return {"memory_format": value.name}
    if isinstance(value, tuple):
        return [_encoded(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"}
    return value


def _keys(reader: Reader, wanted: set[str]) -> None:
    if type(reader.value) is not dict or set(reader.value) != wanted:
        raise reader.refuse("bad_graph", f"expected an object with {', '.join(sorted(wanted))}")


def _natural(reader: Reader, most: int) -> int:
    number = reader.integer()
    if not 0 <= number <= most:
        raise reader.refuse("bad_graph", f"expected a number from 0 to {most}")
    return number


def _read_tensor(reader: Reader) -> TensorSpec:
    _keys(reader, {"name", "shape", "dtype", "role"})
    shape = _shape(reader.key("shape"))
    if math.prod(shape) > limits.MAX_TENSOR_ELEMENTS:
        raise reader.refuse("tensor_too_large", f"a tensor of sizes {list(shape)} is not taken")
    role = reader.key("role").text()
    dtype = _dtype(reader.key("dtype"))
    if role not in _ROLES or (role == "parameter" and dtype not in FLOATING):
        raise reader.refuse("bad_graph", f"no tensor can have the role {role[:40]!r}")
    name = reader.key("name").text()
    if not TENSOR_NAME.fullmatch(name):
        raise reader.refuse("bad_graph", f"{name[:80]!r} is not a tensor's name")
    return TensorSpec(name, shape, dtype, cast(Role, role))


def _read_input(reader: Reader) -> InputSpec:
    _keys(reader, {"name", "dtype", "shape", "sample"})
    name = reader.key("name").text()
    shape = tuple(
        None if item.value is None else _natural(item, limits.MAX_LITERAL)
        for item in reader.key("shape").items(limits.MAX_RANK)
    )
    sample = _shape(reader.key("sample"))
    agrees = len(sample) == len(shape) and all(
        known is None or known == size for known, size in zip(shape, sample, strict=True)
    )
    if not INPUT_NAME.fullmatch(name) or not shape or shape[0] is not None or not agrees:
        raise reader.refuse("bad_graph", "this is no input of a checked program")
    if math.prod(sample) > limits.MAX_TENSOR_ELEMENTS:
        raise reader.refuse("tensor_too_large", f"an input of sizes {list(sample)} is not taken")
    return InputSpec(name, _dtype(reader.key("dtype")), shape, sample)


def _shape(reader: Reader) -> tuple[int, ...]:
    return tuple(_natural(item, limits.MAX_LITERAL) for item in reader.items(limits.MAX_RANK))


def _dtype(reader: Reader) -> str:
    name = reader.text()
    if name not in ITEM_SIZES:
        raise reader.refuse("forbidden_dtype", f"{name[:40]!r} is not an element type")
    return name


def _read_node(reader: Reader, index: int) -> Node:
    parts = reader.items(3)
    if len(parts) != 3:
        raise reader.refuse("bad_graph", "a node has an operator, arguments and outputs")
    arguments = []
    for item in parts[1].items(limits.MAX_ARGUMENTS):
        pair = item.items(2)
        if len(pair) != 2:
            raise item.refuse("bad_graph", "an argument has a name and a value")
        arguments.append((pair[0].text(64), _decoded(pair[1], nested=False)))
    outputs = tuple(
        UNUSED
        if item.value == UNUSED and type(item.value) is int
        else _natural(item, limits.MAX_VALUES)
        for item in parts[2].items(limits.MAX_LIST)
    )
    return Node(parts[0].text(_OPERATOR_LENGTH), tuple(arguments), outputs, index)


def _decoded(reader: Reader, *, nested: bool) -> Arg:
    value = reader.value
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        if not limits.INT64_MIN <= value <= limits.INT64_MAX:
            raise reader.refuse("literal_too_large", "an integer leaves 64 bits")
        return value
    if isinstance(value, float):
        return value
    if isinstance(value, str):
        return reader.text(limits.MAX_STRING)
    if isinstance(value, list):
        if nested:
            raise reader.refuse("bad_graph", "a list inside a list")
        return tuple(_decoded(item, nested=True) for item in reader.items(limits.MAX_LIST))
    kind, inner = reader.variant()
    if kind == "tensor":
        return TensorRef(_natural(inner, limits.MAX_VALUES))
    if kind == "size":
        return SymRef(_natural(inner, limits.MAX_VALUES))
    if kind == "dtype":
        return Dtype(_dtype(inner))
    if kind == "memory_format" and inner.text() in MEMORY_FORMATS.values():
        return MemoryFormat(inner.text())
    if kind == "float" and type(inner.value) is str:
        return inner.number()
    raise reader.refuse("bad_graph", "this is no argument")


def _read_pair(reader: Reader) -> tuple[str, str]:
    pair = reader.items(2)
    if len(pair) != 2:
        raise reader.refuse("bad_graph", "a tie has two names")
    return pair[0].text(), pair[1].text()


def _check_names(document: Reader, graph: Graph) -> None:
    names = [spec.name for spec in graph.tensors]
    kept = set(names)
    others = [other for other, _ in graph.tied]
    ordered = [_ROLES.index(spec.role) for spec in graph.tensors]
    inputs = [spec.name for spec in graph.inputs]
    if (
        len({*names, *others}) != len(names) + len(others)
        or len(set(inputs)) != len(inputs)
        or not inputs
        or ordered != sorted(ordered)
        or any(not TENSOR_NAME.fullmatch(other) for other in others)
        or any(name not in kept for _, name in graph.tied)
    ):
        raise document.refuse("bad_graph", "names of tensors or inputs do not fit together")
