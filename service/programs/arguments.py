"""One argument of an operator, from its serialised union to the graph's own words.

Owns the variants that torch's schema knows, and which of them are never taken. Whether an argument
suits its operator is for `validation`.
"""

from __future__ import annotations

from collections.abc import Callable

from service.programs import limits
from service.programs.graph import MEMORY_FORMATS, Arg, Dtype, MemoryFormat, SymRef, TensorRef
from service.programs.payload import read_dtype
from service.programs.strictjson import Reader

#: Finds the value behind a name, or refuses.
LookUp = Callable[[Reader], int]

_STRIDED = 7


def read_argument(reader: Reader, tensor: LookUp, size: LookUp) -> Arg:
    """The argument; devices and layouts come back as nothing.

    Raises:
        ProgramRefused: `control_flow`, `custom_objects`, `forbidden_layout`, `forbidden_dtype`,
            `argument_unsupported`, `literal_too_large`, `bad_graph`, `graph_too_large`.
    """
    kind, value = reader.variant()
    single = _SINGLE.get(kind)
    if single is not None:
        return single(value, tensor, size)
    several = _SEVERAL.get(kind)
    if several is not None:
        return tuple(several(item, tensor, size) for item in value.items(limits.MAX_LIST))
    if kind == "as_graph":
        raise reader.refuse(
            "control_flow",
            "an argument is a graph of its own (torch.cond, map, scan or a checkpoint); write the "
            "module without control flow that depends on data",
        )
    if kind in {"as_custom_obj", "as_operator"}:
        raise reader.refuse("custom_objects", "an argument is an object, which is code")
    raise reader.refuse(
        "argument_unsupported", f"arguments of the kind {kind[:40]!r} are not taken"
    )


def _none(reader: Reader, tensor: LookUp, size: LookUp) -> Arg:
    return None


def _tensor(reader: Reader, tensor: LookUp, size: LookUp) -> Arg:
    return TensorRef(tensor(reader.key("name")))


def _optional_tensor(reader: Reader, tensor: LookUp, size: LookUp) -> Arg:
    kind, value = reader.variant()
    if kind == "as_none":
        return None
    if kind != "as_tensor":
        raise reader.refuse("bad_graph", f"{kind[:40]!r} is no optional tensor")
    return _tensor(value, tensor, size)


def _integer(reader: Reader, tensor: LookUp, size: LookUp) -> Arg:
    number = reader.integer()
    if not limits.INT64_MIN <= number <= limits.INT64_MAX:
        raise reader.refuse("literal_too_large", "an integer leaves 64 bits")
    return number


def _float(reader: Reader, tensor: LookUp, size: LookUp) -> Arg:
    return reader.number()


def _boolean(reader: Reader, tensor: LookUp, size: LookUp) -> Arg:
    return reader.boolean()


def _string(reader: Reader, tensor: LookUp, size: LookUp) -> Arg:
    return reader.text(limits.MAX_STRING)


def _size(reader: Reader, tensor: LookUp, size: LookUp) -> Arg:
    kind, value = reader.variant()
    if kind == "as_int":
        return _integer(value, tensor, size)
    if kind != "as_name":
        raise reader.refuse("bad_graph", f"{kind[:40]!r} is no size")
    return SymRef(size(value))


def _scalar_type(reader: Reader, tensor: LookUp, size: LookUp) -> Arg:
    return Dtype(read_dtype(reader))


def _memory_format(reader: Reader, tensor: LookUp, size: LookUp) -> Arg:
    name = MEMORY_FORMATS.get(reader.integer())
    if name is None:
        raise reader.refuse("bad_graph", "this memory format is not known")
    return MemoryFormat(name)


def _layout(reader: Reader, tensor: LookUp, size: LookUp) -> Arg:
    if reader.integer() != _STRIDED:
        raise reader.refuse("forbidden_layout", "only dense (strided) tensors are taken")
    return None


_SINGLE = {
    "as_none": _none,
    "as_tensor": _tensor,
    "as_optional_tensor": _optional_tensor,
    "as_int": _integer,
    "as_float": _float,
    "as_bool": _boolean,
    "as_string": _string,
    "as_sym_int": _size,
    "as_scalar_type": _scalar_type,
    "as_memory_format": _memory_format,
    "as_layout": _layout,
    "as_device": _none,
}
_SEVERAL = {
    "as_tensors": _tensor,
    "as_optional_tensors": _optional_tensor,
    "as_ints": _integer,
    "as_floats": _float,
    "as_bools": _boolean,
    "as_sym_ints": _size,
}
