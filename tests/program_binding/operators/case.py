"""One operator with one choice of arguments: bound as a program, and as PyTorch's public operator.

Owns how the arguments of a case are written down, drawn and put into a graph of one node. What is
drawn is differentiated; what is given as a tensor is not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import torch
from torch import Tensor

from service.programs.graph import UNUSED, Graph, InputSpec, Node, TensorRef, TensorSpec
from service.programs.schema import schema_of
from service.programs.validation import validate
from tests.program_binding.exported import computing_in
from workers.program.binder import BoundNetwork
from workers.program.literals import Situation

_ANCHOR: Final = "anchor"
_CPU: Final = torch.device("cpu")


@dataclass(frozen=True)
class Drawn:
    """A floating tensor with numbers evenly from `low` to `high`, none within 0.05 of `kinks`;
    the first ones are those of `special`.
    """

    shape: tuple[int, ...]
    low: float = -2.0
    high: float = 2.0
    kinks: tuple[float, ...] = ()
    special: tuple[float, ...] = ()

    def tensor(self, seed: int) -> Tensor:
        """Of numbers that both types have, so that float32 and float64 compute at one point."""
        generator = torch.Generator().manual_seed(seed)
        drawn = torch.rand(self.shape, generator=generator) * (self.high - self.low) + self.low
        for kink in self.kinks:
            side = torch.where(drawn < kink, -0.05, 0.05)
            drawn = torch.where((drawn - kink).abs() < 0.05, kink + 2 * side, drawn)
        if self.special:
            drawn.view(-1)[: len(self.special)] = torch.tensor(self.special)
        return drawn


def draw(*shape: int, kinks: tuple[float, ...] = (), special: tuple[float, ...] = ()) -> Drawn:
    return Drawn(shape, kinks=kinks, special=special)


def positive(*shape: int) -> Drawn:
    return Drawn(shape, 0.4, 2.4)


def within(*shape: int, most: float = 0.9) -> Drawn:
    """Of numbers in (−most, most)."""
    return Drawn(shape, -most, most)


def _seed(name: str, place: int) -> int:
    return sum(ord(letter) * (index + 1) for index, letter in enumerate(name)) + 1000 * place


class Held:
    """The tensors of a program of one call: parameters are what is drawn, constants the others."""

    def __init__(self) -> None:
        self.tensors = [TensorSpec(_ANCHOR, (1,), "float32", "parameter")]
        self.constants: dict[str, Tensor] = {}

    def referred(self, arguments: Iterable[tuple[str, Any]]) -> tuple[tuple[str, Any], ...]:
        """The arguments, with references to the program's tensors in the place of tensors."""
        return tuple((name, self._reference(name, value)) for name, value in arguments)

    def _reference(self, name: str, value: Any) -> Any:
        if isinstance(value, Drawn):
            self.tensors.append(TensorSpec(name, value.shape, "float32", "parameter"))
        elif isinstance(value, Tensor):
            kind = str(value.dtype).removeprefix("torch.")
            self.tensors.append(TensorSpec(name, tuple(value.shape), kind, "constant"))
            self.constants[name] = value
        elif isinstance(value, tuple) and any(isinstance(v, Drawn | Tensor) for v in value):
            parts = enumerate(value)
            return tuple(self._reference(f"{name}{place}", item) for place, item in parts)
        else:
            return value
        return TensorRef(len(self.tensors) - 1)


@dataclass(frozen=True)
class OperatorCase:
    """
    Attributes:
        operator: `aten.name.overload`.
        note: what is special about the arguments.
        results: how many results the operator has.
        read: which of them is looked at.
        frozen: PyTorch's derivative leaves something out on purpose (`detach`).
        formula: the operator by others, where PyTorch's own lacks a derivative or has a wrong one.
        runs: whether PyTorch's own can be called here at all.
    """

    operator: str
    arguments: tuple[tuple[str, Any], ...]
    note: str = ""
    results: int = 1
    read: int = 0
    frozen: bool = False
    formula: Callable[..., Tensor] | None = None
    runs: bool = True
    drawn: Mapping[str, Drawn] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        found: dict[str, Drawn] = {}
        for name, value in self.arguments:
            for place, item in enumerate(value if isinstance(value, tuple) else (value,)):
                if isinstance(item, Drawn):
                    found[f"{name}{place}" if isinstance(value, tuple) else name] = item
        object.__setattr__(self, "drawn", found)

    def __str__(self) -> str:
        note = f"-{self.note}" if self.note else ""
        which = f"-{self.read}" if self.read else ""
        return f"{self.operator.removeprefix('aten.')}{note}{which}"

    def point(self, dtype: torch.dtype) -> dict[str, Tensor]:
        return {
            name: value.tensor(_seed(self.operator, place)).to(dtype)
            for place, (name, value) in enumerate(self.drawn.items())
        }

    def truth(self, dtype: torch.dtype) -> Callable[[Mapping[str, Tensor]], Tensor]:
        """What derivatives are compared with: PyTorch's own operator, or the formula for it."""
        if self.formula is None:
            return self.public(dtype)
        return self._calling(self.formula, dtype)

    def public(self, dtype: torch.dtype) -> Callable[[Mapping[str, Tensor]], Tensor]:
        """PyTorch's own operator as a function of what is drawn."""
        _, packet, overload = self.operator.split(".")
        return self._calling(getattr(getattr(torch.ops.aten, packet), overload), dtype)

    def _calling(
        self, operator: Callable[..., Any], dtype: torch.dtype
    ) -> Callable[[Mapping[str, Tensor]], Tensor]:
        situation = Situation("float32", dtype, _CPU, differentiable=False)

        def call(point: Mapping[str, Tensor]) -> Tensor:
            given = {
                name: self._filled(name, value, point, dtype, situation)
                for name, value in self.arguments
            }
            with computing_in(dtype):
                result = operator(**given)
            chosen: Tensor = result[self.read] if isinstance(result, tuple | list) else result
            return chosen

        return call

    def _filled(
        self,
        name: str,
        value: Any,
        point: Mapping[str, Tensor],
        dtype: torch.dtype,
        situation: Situation,
    ) -> Any:
        if isinstance(value, Drawn):
            return point[name]
        if isinstance(value, Tensor):
            return value.to(dtype) if value.is_floating_point() else value
        if isinstance(value, tuple) and any(isinstance(v, Drawn | Tensor) for v in value):
            return [
                self._filled(f"{name}{place}", item, point, dtype, situation)
                for place, item in enumerate(value)
            ]
        return situation.value(value)

    def bound(self) -> BoundNetwork:
        """A program of this one operator: parameters are what is drawn, the input is not read."""
        held = Held()
        arguments = held.referred(self.arguments)
        first = len(held.tensors) + 1
        outputs = tuple(first if r == self.read else UNUSED for r in range(self.results))
        graph = Graph(
            tensors=tuple(held.tensors),
            inputs=(InputSpec("x", "float32", (None, 1), (2, 1)),),
            nodes=(Node(self.operator, arguments, outputs),),
            output=first,
        )
        validate(graph, lambda node: node.operator)
        return BoundNetwork(graph, held.constants)

    def ours(self, dtype: torch.dtype) -> Callable[[Mapping[str, Tensor]], Tensor]:
        """The bound form as a function of what is drawn: for values alone in inference mode."""
        network = self.bound()

        def call(point: Mapping[str, Tensor]) -> Tensor:
            anchor = torch.zeros(1, dtype=dtype)
            return network.at({_ANCHOR: anchor, **point}, {})(torch.zeros(2, 1, dtype=dtype))

        return call


def case(operator: str, *positional: Any, note: str = "", **named: Any) -> OperatorCase:
    """A case, arguments as in a call of the operator; `operator` without `aten.`, and without
    `.default`. what is no argument of the operator is an attribute of the case.
    """
    full = f"aten.{operator}" if "." in operator else f"aten.{operator}.default"
    extra = {
        k: named.pop(k) for k in ("results", "read", "frozen", "formula", "runs") if k in named
    }
    schema = schema_of(full)
    assert schema is not None, full
    places = [parameter.name for parameter in schema.parameters if not parameter.keyword_only]
    assert len(positional) <= len(places), full
    given = {**dict(zip(places, positional, strict=False)), **named}
    if "results" not in extra and schema.returns != ("tensors",):
        extra["results"] = len(schema.returns)
    ordered = tuple((p.name, given.pop(p.name)) for p in schema.parameters if p.name in given)
    assert not given, (full, given)
    return OperatorCase(full, ordered, note, **extra)


def weights_for(shape: torch.Size, phase: float) -> Tensor:
    """Numbers of either sign, no two alike, that a result is multiplied by."""
    count = math.prod(shape)
    return (torch.arange(count, dtype=torch.float64) * 0.7 + phase).cos().reshape(shape)
