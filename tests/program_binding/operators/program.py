"""Programs of a few operators written down by hand, and the same by PyTorch's public operators.

Owns the two forms of one list of nodes; which rewrites they are made to meet, tests say.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from service.programs.graph import Arg, Graph, InputSpec, Node, TensorRef, TensorSpec, references
from service.programs.schema import schema_of
from service.programs.validation import validate
from tests.program_binding.exported import computing_in
from workers.program.binder import BoundNetwork


class Program:
    """Nodes in order, on one input `x` whose dimension 0 is the batch."""

    def __init__(self, x: Tensor, **parameters: Tensor) -> None:
        """Tensors named `mean…` and `variance…` are buffers, the rest parameters."""
        self._x, self._tensors = x, parameters
        self._nodes: list[Node] = []
        self._places = {name: TensorRef(place) for place, name in enumerate(parameters)}
        self.x = TensorRef(len(parameters))

    def __getitem__(self, name: str) -> TensorRef:
        return self._places[name]

    def apply(self, operator: str, *positional: Arg, **named: Arg) -> TensorRef:
        """One more operator; its result, which the program returns if it is the last one."""
        full = f"aten.{operator}" if "." in operator else f"aten.{operator}.default"
        schema = schema_of(full)
        assert schema is not None, full
        given = {
            **dict(zip((p.name for p in schema.parameters), positional, strict=False)),
            **named,
        }
        ordered = tuple((p.name, given[p.name]) for p in schema.parameters if p.name in given)
        value = self.x.value + 1 + len(self._nodes)
        unused = (-1,) * (len(schema.returns) - 1)
        self._nodes.append(Node(full, ordered, (value, *unused)))
        return TensorRef(value)

    def bound(self) -> BoundNetwork:
        graph = Graph(
            tensors=tuple(
                TensorSpec(
                    name,
                    tuple(tensor.shape),
                    "float32",
                    "buffer" if _is_buffer(name) else "parameter",
                )
                for name, tensor in self._tensors.items()
            ),
            inputs=(InputSpec("x", "float32", (None, *self._x.shape[1:]), tuple(self._x.shape)),),
            nodes=tuple(self._nodes),
            output=self._nodes[-1].outputs[0],
        )
        validate(graph, lambda node: node.operator)
        return BoundNetwork(graph)

    def point(
        self, dtype: torch.dtype, *, last: bool
    ) -> tuple[dict[str, Tensor], dict[str, Tensor], Tensor]:
        """Parameters, buffers and the input in a type; images in channels-last order or not."""
        cast = {name: _cast(tensor, dtype, last) for name, tensor in self._tensors.items()}
        buffers = {name: tensor for name, tensor in cast.items() if _is_buffer(name)}
        parameters = {name: tensor for name, tensor in cast.items() if not _is_buffer(name)}
        return parameters, buffers, _cast(self._x, dtype, last)

    def public(self, dtype: torch.dtype) -> Tensor:
        """What PyTorch's own operators give in this type, in the plain order."""
        values: list[Any] = [tensor.to(dtype) for tensor in (*self._tensors.values(), self._x)]
        with torch.no_grad(), computing_in(dtype):
            for node in self._nodes:
                _, packet, overload = node.operator.split(".")
                operator = getattr(getattr(torch.ops.aten, packet), overload)
                result = operator(**{n: _filled(a, values) for n, a in node.arguments})
                values.append(result[0] if isinstance(result, tuple) else result)
        found: Tensor = values[-1]
        return found


def _is_buffer(name: str) -> bool:
    return name.startswith(("mean", "variance"))


def _cast(tensor: Tensor, dtype: torch.dtype, last: bool) -> Tensor:
    cast = tensor.to(dtype)
    return cast.to(memory_format=torch.channels_last) if last and cast.dim() == 4 else cast


def _filled(argument: Arg, values: list[Any]) -> Any:
    if isinstance(argument, tuple) and references(argument):
        return [_filled(item, values) for item in argument]
    return values[argument.value] if isinstance(argument, TensorRef) else argument


def functions_of(network: BoundNetwork) -> set[str]:
    """Names of the functions that the network was bound to, in every situation it has met."""
    bound: Mapping[Any, Any] = {**network._programs, **network._halves}
    calls = [
        call
        for program in bound.values()
        for run in (program._once, program._per_batch)
        for call in run._calls
    ]
    return {getattr(call.function, "__name__", call.operator) for call in calls}
