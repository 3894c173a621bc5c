"""The graph's nodes, rewritten without side effects: names become numbered values.

Owns what is changed on the way: operators in place compute anew, dropout of evaluation mode and
the tracer's assertions go, devices, layouts and pinning go. `validation` judges what comes out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from service.programs import limits
from service.programs.arguments import read_argument
from service.programs.graph import Arg, Dtype, Graph, Node, SymRef, TensorRef
from service.programs.interface import Interface
from service.programs.memory import Cell, new_cell, overwrite, view_of
from service.programs.refusal import EXPORT_HINT, ProgramRefused
from service.programs.schema import Schema, schema_of
from service.programs.strictjson import Reader
from service.programs.targets import (
    ASSERTED,
    SIZE_ARITHMETIC,
    anew,
    operator_of,
    refusal_of,
)
from service.programs.validation import EVAL_HINT

#: Identity in evaluation mode.
_DROPOUTS: Final = frozenset(
    {
        "aten.dropout.default",
        "aten.dropout_.default",
        "aten.feature_dropout.default",
        "aten.feature_dropout_.default",
        "aten.alpha_dropout.default",
        "aten.feature_alpha_dropout.default",
        "aten.native_dropout.default",
    }
)
#: They change how a tensor is seen, not its numbers.
_RESHAPING: Final = frozenset(
    {
        "aten.squeeze_.dim",
        "aten.unsqueeze_.default",
        "aten.transpose_.default",
        "aten.detach_.default",
    }
)
#: Operators whose result may share memory with their arguments though their schema is silent.
_QUIETLY_SHARING: Final = frozenset(
    {
        "aten.type_as.default",
        "aten._unsafe_view.default",
        "aten.broadcast_tensors.default",
        "aten.unsafe_split.Tensor",
        "aten.unsafe_chunk.default",
        "aten.meshgrid.default",
        "aten.meshgrid.indexing",
        "aten.cartesian_prod.default",
        "aten.einsum.default",
        "aten.chain_matmul.default",
        "aten.channel_shuffle.default",
        "aten.pixel_shuffle.default",
        "aten.pixel_unshuffle.default",
        "aten.index.Tensor",
        "aten.tensordot.default",
        "aten.take_along_dim.default",
        "aten.pad.default",
        "aten.tile.default",
        "aten.diff.default",
        "aten.round.decimals",
    }
)
#: Spellings of a copy to a device or a type, and what remains of them.
_COPIES: Final = frozenset(
    {"aten.to.device", "aten.to.prim_Device", "aten.to.prim_dtype", "aten.to.dtype_layout"}
)
_DROPPED: Final = frozenset({"device", "layout", "pin_memory", "non_blocking"})


@dataclass(frozen=True)
class _Useless:
    """A value that the graph does not keep, and why."""

    why: str


_Entry = Cell | SymRef | _Useless


def read_nodes(graph: Reader, interface: Interface) -> Graph:
    """The graph of an archive, not yet validated.

    Raises:
        ProgramRefused: `forbidden_operator`, `custom_operator`, `control_flow`, `custom_objects`,
            `training_mode`, `inplace_on_shared_memory`, `input_mutated`, `value_undefined`,
            `value_redefined`, `size_arithmetic_unsupported`, `bad_argument`, `graph_too_large`,
            and those of `read_argument`.
    """
    return _Builder(graph, interface).build()


class _Builder:
    def __init__(self, graph: Reader, interface: Interface) -> None:
        self._graph = graph
        self._interface = interface
        self._declared = graph.key("tensor_values")
        self._nodes: list[Node] = []
        self._next = len(interface.tensors) + len(interface.inputs)
        self._entries: dict[str, _Entry] = _initial(interface)

    def build(self) -> Graph:
        nodes = self._graph.key("nodes")
        for position, node in enumerate(nodes.items(limits.MAX_NODES)):
            self._read(node, position)
        output = self._find_tensor(self._interface.output, self._graph.key("outputs"))
        return Graph(
            tensors=self._interface.tensors,
            inputs=self._interface.inputs,
            nodes=tuple(self._nodes),
            output=output.value,
            tied=self._interface.tied,
        )

    def _read(self, node: Reader, position: int) -> None:
        target = node.key("target").text(256)
        operator = operator_of(target)
        if operator is None:
            self._read_other(node, target, position)
            return
        schema = schema_of(operator)
        assert schema is not None  # noqa: S101 - operator_of found it
        if schema.returns == ():
            return  # the tracer's assertions: the sizes they state are those of its example
        arguments = self._read_arguments(node, operator)
        if operator in _DROPOUTS:
            self._pass_through(node, operator, arguments)
        elif schema.mutates:
            self._compute_anew(node, schema, arguments, position)
        else:
            self._compute(node, schema, arguments, position)

    def _read_other(self, node: Reader, target: str, position: int) -> None:
        """A node that is no operator: arithmetic on sizes, or something that is never taken."""
        if target in ASSERTED:
            why = f"the result of {target} on sizes is used by an operator, which is not supported"
            self._name_useless(node, why)
            return
        if target not in SIZE_ARITHMETIC:
            code, detail = refusal_of(target)
            raise node.refuse(code, detail)
        operator = SIZE_ARITHMETIC[target]
        arguments = []
        for item in node.key("inputs").items(limits.MAX_ARGUMENTS):
            kind, _ = item.key("arg").variant()
            if kind not in {"as_int", "as_sym_int"}:
                self._name_useless(node, "sizes enter arithmetic with fractions: not supported")
                return
            arguments.append(
                (item.key("name").text(64), self._read_argument(item.key("arg"), operator))
            )
        names = _output_names(node)
        if len(names) != 1:
            raise node.refuse("bad_graph", f"{target} has {len(names)} results")
        ((_, name, place),) = names
        (value,) = self._emit(operator, tuple(arguments), 1, position, node)
        self._define(name, SymRef(value), place)

    def _name_useless(self, node: Reader, why: str) -> None:
        for _, name, place in _output_names(node):
            self._define(name, _Useless(why), place)

    def _read_arguments(self, node: Reader, operator: str) -> dict[str, Arg]:
        arguments: dict[str, Arg] = {}
        for item in node.key("inputs").items(limits.MAX_ARGUMENTS):
            name = item.key("name").text(64)
            if name in arguments:
                raise item.refuse("bad_argument", f"{operator} is given {name!r} twice")
            arguments[name] = self._read_argument(item.key("arg"), operator)
        return arguments

    def _read_argument(self, argument: Reader, operator: str) -> Arg:
        def tensor(name: Reader) -> int:
            return self._find_tensor(name.text(), name).value

        def size(name: Reader) -> int:
            return self._find_size(name.text(), name)

        return read_argument(argument, tensor, size)

    def _pass_through(self, node: Reader, operator: str, arguments: dict[str, Arg]) -> None:
        """Dropout: its result is its argument, the very same tensor."""
        if arguments.get("train") is not False and arguments.get("p") != 0:
            raise node.refuse("training_mode", f"a dropout is active ({operator}); {EVAL_HINT}")
        source = next(iter(arguments.values()), None)
        names = _output_names(node)
        if not isinstance(source, TensorRef) or not names or names[0][0] != "tensor":
            raise node.refuse("bad_argument", f"{operator} takes one tensor and returns one")
        cell = self._cell_of(node, next(iter(arguments)))
        self._define(names[0][1], cell, names[0][2])
        for _, name, place in names[1:]:
            self._define(name, _Useless("the mask of a dropout is used"), place)

    def _compute_anew(
        self, node: Reader, schema: Schema, arguments: dict[str, Arg], position: int
    ) -> None:
        """An operator in place: the cell it writes gets a new value."""
        operator = schema.name
        written = next(p.name for p in schema.parameters if p.mutated)
        if not isinstance(arguments.get(written), TensorRef):
            raise node.refuse("bad_argument", f"{operator} takes a tensor as {written!r}")
        cell = self._cell_of(node, written)
        before = cell.value
        reshapes = operator in _RESHAPING
        if cell.memory.owner is not None and not reshapes:
            raise self._overwrites(node, operator, cell.memory.owner)
        fresh = anew(operator)
        if operator == "aten.fill_.Scalar":
            arguments = {"self": arguments[written], "fill_value": arguments.get("value")}
        (value,) = self._emit(fresh, _ordered(fresh, arguments), 1, position, node)
        if not reshapes and self._types_differ(node):
            # In place, the result keeps the type of what is written.
            keep = (("self", TensorRef(value)), ("other", TensorRef(before)))
            (value,) = self._emit("aten.type_as.default", keep, 1, position, node)
        if reshapes:
            cell.value = value
        else:
            overwrite(cell, value, position)
        names = _output_names(node)
        if len(names) != 1 or names[0][0] != "tensor":
            raise node.refuse("bad_graph", f"{operator} returns one tensor")
        self._define(names[0][1], cell, names[0][2])

    @staticmethod
    def _overwrites(node: Reader, operator: str, owner: str) -> ProgramRefused:
        if owner == "input":
            return node.refuse(
                "input_mutated",
                f"{operator} overwrites an input, or a view of one; write into a copy",
            )
        return node.refuse(
            "training_mode",
            f"{operator} overwrites a {owner} of the program, or a view of one, as batch norms do "
            f"while training; {EVAL_HINT}",
        )

    def _types_differ(self, node: Reader) -> bool:
        """Whether the tensors of an operator in place have different types, masks aside."""
        types = set()
        for item in node.key("inputs").items(limits.MAX_ARGUMENTS):
            kind, value = item.key("arg").variant()
            if kind == "as_tensor" and item.key("name").text() != "mask":
                types.add(self._declared.key(value.key("name").text()).key("dtype").integer())
        return len(types) > 1

    def _compute(
        self, node: Reader, schema: Schema, arguments: dict[str, Arg], position: int
    ) -> None:
        operator = schema.name
        if operator in _COPIES:
            operator, arguments = _copy(node, operator, arguments)
        names = _output_names(node)
        values = self._emit(operator, _ordered(operator, arguments), len(names), position, node)
        shared = self._shared(node, schema)
        for (kind, name, place), value in zip(names, values, strict=True):
            if kind == "nothing":
                continue
            if kind == "size":
                self._define(name, SymRef(value), place)
            elif kind == "truth":
                self._define(name, _Useless(f"the result of {operator} is no tensor"), place)
            elif shared:
                self._define(name, view_of(value, shared), place)
            else:
                self._define(name, new_cell(value), place)

    def _shared(self, node: Reader, schema: Schema) -> list[Cell]:
        """The cells whose memory the results may share."""
        everything = schema.name in _QUIETLY_SHARING
        if schema.name.split(".")[1] in {"to", "type_as"} and self._changes_type(node):
            return []
        cells = []
        for item in node.key("inputs").items(limits.MAX_ARGUMENTS):
            parameter = schema.parameter(item.key("name").text())
            if parameter is not None and (parameter.alias or everything):
                for name in _tensor_names(item.key("arg")):
                    entry = self._entries.get(name)
                    if isinstance(entry, Cell):
                        cells.append(entry)
        return cells

    def _changes_type(self, node: Reader) -> bool:
        """Whether a conversion has a result of another type: then it is a copy for certain."""
        sources = [
            name
            for item in node.key("inputs").items(limits.MAX_ARGUMENTS)
            if item.key("name").text() == "self"
            for name in _tensor_names(item.key("arg"))
        ]
        results = [name for kind, name, _ in _output_names(node) if kind == "tensor"]
        types = {self._declared.key(n).key("dtype").integer() for n in (*sources, *results)}
        return len(types) > 1

    def _cell_of(self, node: Reader, parameter: str) -> Cell:
        for item in node.key("inputs").items(limits.MAX_ARGUMENTS):
            if item.key("name").text() == parameter:
                name = item.key("arg").key("as_tensor").key("name")
                return self._find_tensor(name.text(), name)
        raise node.refuse("bad_argument", f"{parameter!r} is missing")

    def _emit(
        self,
        operator: str,
        arguments: tuple[tuple[str, Arg], ...],
        results: int,
        position: int,
        node: Reader,
    ) -> tuple[int, ...]:
        values = tuple(range(self._next, self._next + results))
        self._next += results
        if self._next > limits.MAX_VALUES or len(self._nodes) >= limits.MAX_NODES:
            raise node.refuse(
                "graph_too_large",
                f"the program has more than {limits.MAX_NODES} operators or {limits.MAX_VALUES} "
                "values",
            )
        self._nodes.append(Node(operator, arguments, values, position))
        return values

    def _define(self, name: str, entry: _Entry, place: Reader) -> None:
        if name in self._entries:
            raise place.refuse("value_redefined", f"the value {name[:80]!r} is defined twice")
        self._entries[name] = entry

    def _find(self, name: str, place: Reader) -> _Entry:
        entry = self._entries.get(name)
        if entry is None:
            raise place.refuse(
                "value_undefined", f"the value {name[:80]!r} is used before it is defined"
            )
        if isinstance(entry, _Useless):
            raise place.refuse("size_arithmetic_unsupported", entry.why)
        return entry

    def _find_tensor(self, name: str, place: Reader) -> Cell:
        entry = self._find(name, place)
        if isinstance(entry, Cell):
            if entry.overwritten_at is None:
                return entry
            raise place.refuse(
                "inplace_on_shared_memory",
                f"{name[:80]!r} shares memory with a tensor that node {entry.overwritten_at} "
                "overwrites in place, and is used afterwards; write that operation out of place "
                "(x = x + y instead of x += y, relu without inplace=True, no assignment to slices)",
            )
        raise place.refuse("bad_argument", f"{name[:80]!r} is a size, not a tensor")

    def _find_size(self, name: str, place: Reader) -> int:
        entry = self._find(name, place)
        if isinstance(entry, SymRef):
            return entry.value
        raise place.refuse("bad_argument", f"{name[:80]!r} is a tensor, not a size")


def _initial(interface: Interface) -> dict[str, _Entry]:
    """Cells of the program's tensors and inputs; tied names share one."""
    cells: dict[int, Cell] = {}
    for number, spec in enumerate(interface.tensors):
        cells[number] = new_cell(number, spec.role)
    for index in range(len(interface.inputs)):
        number = len(interface.tensors) + index
        cells[number] = new_cell(number, "input")
    return {name: cells[number] for name, number in interface.names.items()}


def _ordered(operator: str, arguments: Mapping[str, Arg]) -> tuple[tuple[str, Arg], ...]:
    """Arguments in the schema's order, then those it does not know, which validation refuses."""
    schema = schema_of(operator)
    known = [] if schema is None else [p.name for p in schema.parameters if p.name in arguments]
    unknown = [name for name in arguments if name not in known]
    return tuple(
        (name, arguments[name])
        for name in (*known, *unknown)
        if name not in _DROPPED or name in unknown
    )


def _copy(node: Reader, operator: str, arguments: dict[str, Arg]) -> tuple[str, dict[str, Arg]]:
    """A move to a device or a type, without the device."""
    schema = schema_of(operator)
    assert schema is not None  # noqa: S101 - one of our own list
    for name in arguments:
        if schema.parameter(name) is None:
            raise node.refuse("bad_argument", f"{operator} has no argument {name!r}")
    dtype = arguments.get("dtype")
    if dtype is not None and not isinstance(dtype, Dtype):
        raise node.refuse("bad_argument", f"{operator} takes an element type as 'dtype'")
    kept: dict[str, Arg] = {
        name: value
        for name, value in arguments.items()
        if name in {"self", "dtype", "copy", "memory_format"} and value is not None
    }
    return "aten.to.dtype_layout", kept


def _output_names(node: Reader) -> list[tuple[str, str, Reader]]:
    """(tensor | size | nothing, name, place) of each result."""
    found: list[tuple[str, str, Reader]] = []
    for output in node.key("outputs").items(limits.MAX_LIST):
        kind, value = output.variant()
        if kind == "as_tensor":
            found.append(("tensor", value.key("name").text(), value))
        elif kind == "as_tensors":
            found += [
                ("tensor", item.key("name").text(), item) for item in value.items(limits.MAX_LIST)
            ]
        elif kind == "as_sym_int":
            found.append(("size", value.key("as_name").text(), value))
        elif kind in {"as_sym_bool", "as_sym_float"}:
            found.append(("truth", value.key("as_name").text(), value))
        elif kind == "as_none":
            found.append(("nothing", "", value))
        elif kind == "as_custom_obj":
            raise output.refuse("custom_objects", "a result is an object, which is code")
        else:
            raise output.refuse(
                "bad_graph", f"a result of kind {kind[:40]!r} is not taken; {EXPORT_HINT}"
            )
    return found


def _tensor_names(argument: Reader) -> list[str]:
    kind, value = argument.variant()
    if kind == "as_tensor":
        return [value.key("name").text()]
    if kind == "as_tensors":
        return [item.key("name").text() for item in value.items(limits.MAX_LIST)]
    if kind in {"as_optional_tensor", "as_optional_tensors"}:
        items = value.items(limits.MAX_LIST) if kind.endswith("s") else [value]
        return [
            item.key("as_tensor").key("name").text()
            for item in items
            if item.variant()[0] == "as_tensor"
        ]
    return []
