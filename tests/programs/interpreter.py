"""Runs a graph operator by operator with PyTorch, as plainly as can be: the reader's oracle.

Not the binder: nothing is optimised and nothing is differentiated here.
"""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import Tensor

from service.programs.graph import Arg, Dtype, Graph, MemoryFormat, SymRef, TensorRef
from service.programs.program import Program

_SIZES = {
    "sym.add": operator.add,
    "sym.sub": operator.sub,
    "sym.mul": operator.mul,
    "sym.floordiv": operator.floordiv,
    "sym.mod": operator.mod,
    "sym.neg": operator.neg,
    "sym.max": max,
    "sym.min": min,
}
_FORMATS = {
    "contiguous": torch.contiguous_format,
    "channels_last": torch.channels_last,
    "channels_last_3d": torch.channels_last_3d,
    "preserve": torch.preserve_format,
}


def stored(program: Program) -> list[Tensor]:
    """The archive's own values of the graph's tensors."""
    found = []
    for spec in program.graph.tensors:
        data = bytearray(program.contiguous(spec.name))
        dtype = getattr(torch, spec.dtype)
        flat = torch.frombuffer(data, dtype=dtype) if data else torch.empty(0, dtype=dtype)
        found.append(flat.reshape(spec.shape).clone())  # aligned, as torch allocates
    return found


def run(graph: Graph, tensors: list[Tensor], inputs: tuple[Tensor, ...]) -> Tensor:
    """The graph's output."""
    values: dict[int, Any] = dict(enumerate([*tensors, *inputs]))
    for node in graph.nodes:
        arguments = {name: _value(argument, values) for name, argument in node.arguments}
        if node.operator in _SIZES:
            results: Any = _SIZES[node.operator](*arguments.values())
        else:
            _, name, overload = node.operator.split(".")
            packet = getattr(torch.ops.aten, name)
            results = getattr(packet, overload)(**arguments)
        if not isinstance(results, list | tuple):
            results = (results,)
        values.update(zip(node.outputs, results, strict=True))
    output = values[graph.output]
    assert isinstance(output, Tensor)
    return output


def _value(argument: Arg, values: dict[int, Any]) -> Any:
    if isinstance(argument, TensorRef | SymRef):
        return values[argument.value]
    if isinstance(argument, Dtype):
        return getattr(torch, argument.name)
    if isinstance(argument, MemoryFormat):
        return _FORMATS[argument.name]
    if isinstance(argument, tuple):
        return [_value(item, values) for item in argument]
    return argument
