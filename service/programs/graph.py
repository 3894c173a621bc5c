"""The checked graph: values numbered in order, operators by allow-listed name, literals by type.

Owns the frozen words that the reader writes and the workers' binder reads. A `Graph` that left
`validation.validate` is safe to bind: every operator is allowed, every argument has its schema's
type, every value is defined before use. No bytes of weights, no names of Python objects.

Values are numbered: first the graph's tensors (parameters, buffers, constants), then its inputs,
then the outputs of its nodes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

Role = Literal["parameter", "buffer", "constant"]

#: Element types by torch's serialised number; their sizes in bytes by name.
DTYPES: Final = {
    1: "uint8",
    2: "int8",
    3: "int16",
    4: "int32",
    5: "int64",
    6: "float16",
    7: "float32",
    8: "float64",
    12: "bool",
    13: "bfloat16",
}
ITEM_SIZES: Final = {
    "uint8": 1,
    "int8": 1,
    "bool": 1,
    "int16": 2,
    "float16": 2,
    "bfloat16": 2,
    "int32": 4,
    "float32": 4,
    "int64": 8,
    "float64": 8,
}
FLOATING: Final = frozenset({"float16", "bfloat16", "float32", "float64"})
MEMORY_FORMATS: Final = {
    1: "contiguous",
    2: "channels_last",
    3: "channels_last_3d",
    4: "preserve",
}

#: In place of the number of an output that nothing reads.
UNUSED: Final = -1


@dataclass(frozen=True)
class TensorRef:
    """A tensor value."""

    value: int


@dataclass(frozen=True)
class SymRef:
    """An integer value known only when the graph runs: a size, or arithmetic on sizes."""

    value: int


@dataclass(frozen=True)
class Dtype:
    """A literal element type."""

    name: str


@dataclass(frozen=True)
class MemoryFormat:
    """A literal memory format."""

    name: str


Arg = (
    None | bool | int | float | str | TensorRef | SymRef | Dtype | MemoryFormat | tuple["Arg", ...]
)


@dataclass(frozen=True)
class Filters:
    """A tensor seen as `view` (row-major, as many elements): a filter for each index of `dims`."""

    view: tuple[int, ...]
    dims: tuple[int, ...]


@dataclass(frozen=True)
class TensorSpec:
    """A tensor that the graph reads beside its inputs.

    Attributes:
        role: `parameter` (trained), `buffer` (saved with the weights), `constant` (part of the
            program: lifted literals and buffers that are not saved).
        normalisation: gain or bias of a batch, layer, group, instance or RMS norm.
        transposed: weight of a transposed convolution.
        filters: what its filters are, where each index of dimension 0 is not one.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    role: Role
    normalisation: bool = False
    transposed: bool = False
    filters: Filters | None = None


@dataclass(frozen=True)
class InputSpec:
    """An input. `None` in `shape` is a size that varies; dimension 0 is the batch and always does.

    `sample` holds sizes the program is known to work with (those of its example, batch 2).
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...]
    sample: tuple[int, ...]


@dataclass(frozen=True)
class Node:
    """One operator applied.

    Attributes:
        operator: `aten.name.overload`, or `sym.name` for arithmetic on sizes.
        arguments: (parameter, value) in the schema's order, those given only.
        outputs: numbers of the values it defines, `UNUSED` where none reads it.
        origin: position in the archive, for messages; no part of the graph's identity.
    """

    operator: str
    arguments: tuple[tuple[str, Arg], ...]
    outputs: tuple[int, ...]
    origin: int = field(default=-1, compare=False)

    def argument(self, name: str) -> Arg:
        return next((value for key, value in self.arguments if key == name), None)


@dataclass(frozen=True)
class Graph:
    """A program without its weights."""

    tensors: tuple[TensorSpec, ...]
    inputs: tuple[InputSpec, ...]
    nodes: tuple[Node, ...]
    output: int
    #: Other names of tied parameters, with the name the graph uses.
    tied: tuple[tuple[str, str], ...] = ()

    @property
    def dtype(self) -> str:
        """The floating type it was exported in: that of its first floating parameter.

        Literals of this type mean "the type the evaluation computes in" (see the binder).
        """
        floating = [spec.dtype for spec in self.tensors if spec.dtype in FLOATING]
        trained = [s.dtype for s in self.tensors if s.dtype in FLOATING and s.role == "parameter"]
        return (trained or floating or ["float32"])[0]

    @property
    def values(self) -> int:
        """How many values there are."""
        return (
            len(self.tensors)
            + len(self.inputs)
            + sum(1 for node in self.nodes for output in node.outputs if output != UNUSED)
        )


def references(argument: Arg) -> tuple[int, ...]:
    """Numbers of the values an argument reads."""
    if isinstance(argument, TensorRef | SymRef):
        return (argument.value,)
    if isinstance(argument, tuple):
        return tuple(value for item in argument for value in references(item))
    return ()


def renumber(argument: Arg, number: dict[int, int]) -> Arg:
    """The argument with its references renumbered."""
    if isinstance(argument, TensorRef):
        return TensorRef(number[argument.value])
    if isinstance(argument, SymRef):
        return SymRef(number[argument.value])
    if isinstance(argument, tuple):
        return tuple(renumber(item, number) for item in argument)
    return argument
