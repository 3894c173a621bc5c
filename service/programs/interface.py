"""What a program reads and returns, from the signature in its graph file.

Owns the sorting of the graph's inputs into parameters, buffers, constants and inputs, tied
parameters, and the rule that a program only returns: it never writes its parameters, buffers or
inputs.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from service.programs import limits
from service.programs.graph import FLOATING, ITEM_SIZES, InputSpec, Role, TensorSpec
from service.programs.payload import Place, StoredTensor, read_dtype, read_meta
from service.programs.refusal import EXPORT_HINT
from service.programs.sizes import Size, read_size
from service.programs.strictjson import Reader
from service.programs.validation import EVAL_HINT

#: How torch spells a batch that varies: a symbol by itself.
_PLAIN_SYMBOL: Final = re.compile(r"Symbol\([^()]*\)")
INPUT_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_SAMPLE_BATCH: Final = 2
_ORDER: Final[dict[Role, int]] = {"parameter": 0, "buffer": 1, "constant": 2}


@dataclass(frozen=True)
class Interface:
    """The program's tensors and inputs, in the order in which their values are numbered.

    Attributes:
        tensors: parameters, then buffers, then constants.
        stored: where each tensor's bytes are, by the tensor's name.
        inputs: in call order.
        names: for each name the graph uses, the number of its value. Tied names share one.
        output: the graph's name of what it returns.
        tied: other names of tied tensors, with the name kept.
    """

    tensors: tuple[TensorSpec, ...]
    stored: Mapping[str, StoredTensor]
    inputs: tuple[InputSpec, ...]
    names: Mapping[str, int]
    output: str
    tied: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class _Tensor:
    """One parameter, buffer or constant of the signature."""

    local: str
    role: Role
    stored: StoredTensor
    reader: Reader


def read_interface(
    module: Reader,
    weights: Mapping[str, StoredTensor],
    constants: Mapping[str, StoredTensor],
) -> Interface:
    """Reads `graph_module`'s signature against the stored tensors.

    Raises:
        ProgramRefused: `training_mode`, `bad_input`, `static_batch`, `bad_output`,
            `custom_objects`, `weight_missing`, `parameters_overlap`, `forbidden_dtype`,
            `symbolic_size_unsupported`, `bad_graph`, `graph_too_large`.
    """
    graph = module.key("graph")
    signature = module.key("signature")
    values = graph.key("tensor_values")
    tensors: list[_Tensor] = []
    inputs: list[tuple[str, InputSpec]] = []
    specs = signature.key("input_specs").items(limits.MAX_TENSORS + limits.MAX_INPUTS)
    _check_order(graph, specs)
    for spec in specs:
        kind, body = spec.variant()
        if kind in _STORED:
            tensors.append(_read_tensor(kind, body, values, weights, constants))
        elif kind == "user_input":
            inputs.append(_read_input(body.key("arg"), values))
        elif kind == "custom_obj":
            raise spec.refuse("custom_objects", "the program takes a TorchBind object: code")
        elif kind != "constant_input":  # a literal argument: its value is already in the graph
            raise spec.refuse(
                "bad_input", f"an input of kind {kind[:40]!r} is not taken; {EXPORT_HINT}"
            )
    if not 0 < len(inputs) <= limits.MAX_INPUTS:
        raise signature.refuse(
            "bad_input", f"the program has {len(inputs)} inputs; 1 to {limits.MAX_INPUTS} are taken"
        )
    kept, tied = _tie(tensors)
    _check_overlap(kept)
    numbers = {id(tensor): number for number, tensor in enumerate(kept)}
    names = {tensor.local: numbers[id(tied.get(id(tensor), tensor))] for tensor in tensors}
    names |= {local: len(kept) + index for index, (local, _) in enumerate(inputs)}
    if len(names) != len(tensors) + len(inputs):
        raise signature.refuse("value_redefined", "two inputs of the graph have one name")
    if len({tensor.stored.name for tensor in tensors}) != len(tensors):
        raise signature.refuse("bad_graph", "two inputs of the graph are the same stored tensor")
    return Interface(
        tensors=tuple(
            TensorSpec(t.stored.name, t.stored.meta.shape, t.stored.meta.dtype, t.role)
            for t in kept
        ),
        stored={tensor.stored.name: tensor.stored for tensor in kept},
        inputs=tuple(spec for _, spec in inputs),
        names=names,
        output=_read_output(signature),
        tied=tuple(
            (tensor.stored.name, tied[id(tensor)].stored.name)
            for tensor in tensors
            if id(tensor) in tied
        ),
    )


#: Kinds of stored inputs, with the key that holds the tensor's full name.
_STORED: Final = {
    "parameter": "parameter_name",
    "buffer": "buffer_name",
    "tensor_constant": "tensor_constant_name",
}


def _check_order(graph: Reader, specs: list[Reader]) -> None:
    """The graph's own list of inputs must be the signature's, one for one."""
    listed = graph.key("inputs")
    items = listed.items(limits.MAX_TENSORS + limits.MAX_INPUTS)
    if len(items) != len(specs):
        raise listed.refuse("bad_graph", "the graph and its signature list different inputs")
    for item, spec in zip(items, specs, strict=True):
        if type(item.value) is not dict or "as_tensor" not in item.value:
            continue
        _, body = spec.variant()
        named = body.get("arg")
        if named is not None and type(named.value) is dict and "as_tensor" in named.value:
            named = named.key("as_tensor")
        if named is None or named.get("name") is None:
            raise item.refuse("bad_graph", "the graph and its signature list different inputs")
        if named.key("name").text() != item.key("as_tensor").key("name").text():
            raise item.refuse("bad_graph", "the graph and its signature list different inputs")


def _read_tensor(
    kind: str,
    body: Reader,
    values: Reader,
    weights: Mapping[str, StoredTensor],
    constants: Mapping[str, StoredTensor],
) -> _Tensor:
    local = body.key("arg").key("name").text()
    name = body.key(_STORED[kind]).text()
    role: Role = "parameter" if kind == "parameter" else "constant"
    if kind == "buffer" and body.key("persistent").boolean():
        role = "buffer"
    stored = (constants if role == "constant" else weights).get(name)
    if stored is None:
        raise body.refuse(
            "weight_missing", f"the archive lists no tensor {name[:80]!r}; {EXPORT_HINT}"
        )
    declared = read_meta(values.key(local))
    if (declared.dtype, declared.shape) != (stored.meta.dtype, stored.meta.shape):
        raise body.refuse(
            "bad_graph",
            f"{name!r} is {stored.meta.dtype} of sizes {list(stored.meta.shape)} in the weights "
            f"and {declared.dtype} of sizes {list(declared.shape)} in the graph; {EXPORT_HINT}",
        )
    if role == "parameter" and declared.dtype not in FLOATING:
        raise body.refuse(
            "forbidden_dtype",
            f"the parameter {name!r} is {declared.dtype}; parameters must be floating: register "
            "it as a buffer",
        )
    return _Tensor(local, role, stored, body)


def _read_input(argument: Reader, values: Reader) -> tuple[str, InputSpec]:
    kind, body = argument.variant()
    if kind != "as_tensor":
        raise argument.refuse(
            "bad_input",
            "every input must be a tensor; make numbers and flags attributes of the module, or "
            "leave optional arguments out when exporting",
        )
    name = body.key("name").text()
    if not INPUT_NAME.fullmatch(name):
        raise body.refuse("bad_input", f"{name[:80]!r} is not an input's name")
    meta = values.key(name)
    dtype = read_dtype(meta.key("dtype"))
    sizes = [read_size(item) for item in meta.key("sizes").items(limits.MAX_RANK)]
    if not sizes or sizes[0].known is not None:
        raise meta.refuse(
            "static_batch",
            f"the input {name!r} has a fixed first dimension; the batch must vary: export with "
            "dynamic_shapes={" + repr(name) + ": {0: torch.export.Dim('batch')}}; "
            "lossatlas.export_model does",
        )
    sample = tuple(_sample(size, sizes[0]) for size in sizes)
    if math.prod(sample) > limits.MAX_TENSOR_ELEMENTS:
        raise meta.refuse("tensor_too_large", f"an input of sizes {list(sample)} is not taken")
    return name, InputSpec(name, dtype, tuple(size.known for size in sizes), sample)


def _sample(size: Size, batch: Size) -> int:
    is_batch = size.spelling == batch.spelling and _PLAIN_SYMBOL.fullmatch(batch.spelling)
    return _SAMPLE_BATCH if is_batch else size.sample


def _read_output(signature: Reader) -> str:
    returned = signature.key("output_specs")
    specs = returned.items(limits.MAX_TENSORS)
    for spec in specs:
        kind, body = spec.variant()
        if kind in {"buffer_mutation", "parameter_mutation"}:
            key = "buffer_name" if kind == "buffer_mutation" else "parameter_name"
            raise spec.refuse(
                "training_mode",
                f"the program changes {body.key(key).text()!r} while it runs; {EVAL_HINT}",
            )
        if kind == "user_input_mutation":
            raise spec.refuse(
                "input_mutated",
                f"the program overwrites its input {body.key('user_input_name').text()!r}; write "
                "into a copy",
            )
        if kind != "user_output":
            raise spec.refuse("bad_output", f"an output of kind {kind[:40]!r} is not taken")
    if len(specs) != 1:
        raise returned.refuse(
            "bad_output",
            f"the program returns {len(specs)} values; it must return one tensor: wrap the module "
            "so that it returns the logits, the prediction or the loss alone",
        )
    kind, body = specs[0].key("user_output").key("arg").variant()
    if kind != "as_tensor":
        raise specs[0].refuse("bad_output", "the program must return a tensor")
    return body.key("name").text()


def _tie(tensors: list[_Tensor]) -> tuple[list[_Tensor], dict[int, _Tensor]]:
    """Tensors in the order of their roles; and for each tied one that is left out, its first."""
    first: dict[tuple[Role, Place], _Tensor] = {}
    kept: list[_Tensor] = []
    tied: dict[int, _Tensor] = {}
    for tensor in tensors:
        same = first.setdefault((tensor.role, tensor.stored.place), tensor)
        # Empty tensors share a place by accident, and constants need no tying.
        if same is tensor or tensor.role == "constant" or tensor.stored.meta.elements == 0:
            kept.append(tensor)
        else:
            tied[id(tensor)] = same
    return sorted(kept, key=lambda tensor: _ORDER[tensor.role]), tied


def _check_overlap(tensors: list[_Tensor]) -> None:
    """Parameters that share some of their numbers cannot be moved independently."""
    spans = []
    for tensor in tensors:
        meta = tensor.stored.meta
        if tensor.role == "parameter" and meta.elements:
            reach = sum((n - 1) * s for n, s in zip(meta.shape, meta.strides, strict=True))
            size = ITEM_SIZES[meta.dtype]
            start = meta.offset * size
            spans.append((tensor.stored.member.name, start, start + (reach + 1) * size, tensor))
            if any(n > 1 and s == 0 for n, s in zip(meta.shape, meta.strides, strict=True)):
                raise tensor.reader.refuse(
                    "parameters_overlap",
                    f"{tensor.stored.name!r} is an expanded view: its elements share memory; make "
                    "it contiguous before exporting",
                )
    spans.sort(key=lambda span: span[:3])
    for (member, _, end, one), (other, start, _, two) in pairwise(spans):
        if member == other and start < end:
            raise two.reader.refuse(
                "parameters_overlap",
                f"{one.stored.name!r} and {two.stored.name!r} share part of their memory; make "
                "them separate parameters, or one and the same",
            )
