"""Hostile archives, each with the code by which it must be refused.

Every payload that could run would touch the canary's path.
"""

from __future__ import annotations

import json
import pickle
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.programs.archive import (
    CONSTANTS,
    GRAPH,
    ROOT,
    SAMPLES,
    WEIGHTS,
    Archive,
    Entry,
    entries_of,
    zipped,
)

Build = Callable[[Archive, Path], bytes]


@dataclass(frozen=True)
class Hostile:
    name: str
    code: str
    build: Build


class Touch:
    """Unpickling an instance creates a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (str(self._path), "w")


def pickled(canary: Path) -> bytes:
    """A pickle that touches the canary when it is loaded."""
    return pickle.dumps(Touch(canary))


def expression(canary: Path) -> str:
    """Python that touches the canary when it is evaluated."""
    return f"__import__('pathlib').Path({str(canary)!r}).touch()"


HOSTILE: list[Hostile] = []


def _case(code: str, name: str | None = None) -> Callable[[Build], Build]:
    def add(build: Build) -> Build:
        HOSTILE.append(Hostile(name or build.__name__, code, build))
        return build

    return add


def _changed(name: str, code: str, change: Callable[[Archive], object]) -> None:
    def build(base: Archive, canary: Path) -> bytes:
        return base.changed(lambda archive: (change(archive), None)[1]).to_bytes()

    HOSTILE.append(Hostile(name, code, build))


def _text(name: str, code: str, member: str, edit: Callable[[bytes, Path], bytes]) -> None:
    """A case that edits the bytes of one JSON member."""

    def build(base: Archive, canary: Path) -> bytes:
        members = base.members()
        members[member] = edit(members[member], canary)
        return zipped(entries_of(members))

    HOSTILE.append(Hostile(name, code, build))


# --- what would run when loaded ---------------------------------------------------------------


@_case("pickled_weights")
def weights_by_pickle(base: Archive, canary: Path) -> bytes:
    def change(archive: Archive) -> None:
        archive.weights["config"]["conv1.weight"]["use_pickle"] = True
        archive.others["data/weights/weight_0"] = pickled(canary)

    return base.changed(change).to_bytes()


@_case("pickled_weights")
def constants_by_pickle(base: Archive, canary: Path) -> bytes:
    def change(archive: Archive) -> None:
        entry = dict(archive.weights["config"]["conv1.bias"], path_name="tensor_0", use_pickle=True)
        archive.constants["config"]["c"] = entry
        archive.others["data/constants/tensor_0"] = pickled(canary)

    return base.changed(change).to_bytes()


for _member, _code in (
    ("data/weights/model.pt", "legacy_weights"),
    ("data/constants/model.pt", "legacy_weights"),
    ("data/constants/custom_obj_0", "custom_objects"),
    ("data/constants/opaque_obj_0", "opaque_constants"),
    ("serialized_state_dict.pt", "archive_format_unsupported"),
    ("data.pkl", "archive_format_unsupported"),
    ("code/__torch__.py", "archive_format_unsupported"),
    ("models/second.json", "archive_member_refused"),
    ("extra/hook.py", "archive_member_refused"),
    ("data/aotinductor/model/a.so", "archive_member_refused"),
    ("data/weights/weight_01", "archive_member_refused"),
):

    def _extra(base: Archive, canary: Path, member: str = _member) -> bytes:
        return base.with_member(member, pickled(canary)).to_bytes()

    _case(_code, f"member_{_member.replace('/', '_')}")(_extra)


@_case("custom_objects")
def constant_that_is_an_object(base: Archive, canary: Path) -> bytes:
    def change(archive: Archive) -> None:
        archive.constants["config"]["c"] = {
            "path_name": "custom_obj_0",
            "is_param": False,
            "use_pickle": True,
            "tensor_meta": None,
        }

    return base.changed(change).to_bytes()


@_case("opaque_constants")
def constant_that_is_opaque(base: Archive, canary: Path) -> bytes:
    def change(archive: Archive) -> None:
        archive.constants["config"]["c"] = {
            "path_name": "opaque_obj_0",
            "is_param": False,
            "use_pickle": True,
            "tensor_meta": None,
        }

    return base.changed(change).to_bytes()


@_case("symbolic_size_unsupported")
def size_that_is_code(base: Archive, canary: Path) -> bytes:
    def change(archive: Archive) -> None:
        archive.values["x"]["sizes"][0]["as_expr"]["expr_str"] = expression(canary)

    return base.changed(change).to_bytes()


@_case("symbolic_size_unsupported")
def size_that_is_code_after_a_symbol(base: Archive, canary: Path) -> bytes:
    def change(archive: Archive) -> None:
        size = archive.values["x"]["sizes"][0]["as_expr"]
        size["expr_str"] += f" + {expression(canary)}"

    return base.changed(change).to_bytes()


_changed(
    "size_of_endless_length",
    "symbolic_size_unsupported",
    lambda a: a.values["x"]["sizes"][0]["as_expr"].update(
        expr_str="Mul(" + "Integer(9), " * 100_000 + "Integer(9))"
    ),
)
_changed(
    "size_with_power",
    "symbolic_size_unsupported",
    lambda a: a.values["x"]["sizes"][0]["as_expr"].update(expr_str="Pow(Integer(9), Integer(9))"),
)
_changed(
    "size_whose_hint_is_text",
    "bad_graph",
    lambda a: a.values["x"]["sizes"][0]["as_expr"].update(hint={"as_int": "1+1"}),
)

# --- the container ------------------------------------------------------------------------------


@_case("archive_member_compressed")
def bomb(base: Archive, canary: Path) -> bytes:
    entries = entries_of(base.members())
    big = Entry(b"program/data/weights/weight_99", bytes(64 << 20), zipfile.ZIP_DEFLATED)
    return zipped([*entries, big])


@_case("archive_member_compressed")
def unknown_compression(base: Archive, canary: Path) -> bytes:
    entries = entries_of(base.members())
    return zipped([replace(entries[0], method=99), *entries[1:]])


@_case("archive_duplicate_member")
def same_name_twice(base: Archive, canary: Path) -> bytes:
    entries = entries_of(base.members())
    return zipped([*entries, entries[-1]])


for _name, _raw in {
    "traversal": b"program/../../../tmp/escaped",
    "absolute": b"/etc/passwd",
    "dot": b"program/./models/model.json",
    "empty_part": b"program//models/model.json",
    "backslash": b"program\\models\\model.json",
    "not_utf8": b"program/\xff\xfe",
    "zero_byte": b"program/models/model.json\x00.txt",
    "right_to_left": "program/models/\u202enosj.ledom".encode(),
    "full_width": "program/ｍodels/model.json".encode(),
    "combining": "program/models/mode\u0301l.json".encode(),
    "long": b"program/" + b"a" * 1000,
    "drive": b"C:/models/model.json",
}.items():

    def _named(base: Archive, canary: Path, raw: bytes = _raw) -> bytes:
        return zipped([*entries_of(base.members()), Entry(raw, b"x")])

    _case("archive_member_refused", f"name_{_name}")(_named)


@_case("archive_member_refused")
def two_top_folders(base: Archive, canary: Path) -> bytes:
    entries = entries_of(base.members())
    return zipped([*entries, Entry(b"other/archive_format", b"pt2")])


@_case("archive_inconsistent")
def another_name_inside(base: Archive, canary: Path) -> bytes:
    entries = entries_of(base.members())
    lie = entries[-1].name.replace(b"model.json", b"other.json")
    return zipped([*entries[:-1], replace(entries[-1], local_name=lie)])


@_case("archive_inconsistent")
def wrong_checksum(base: Archive, canary: Path) -> bytes:
    entries = entries_of(base.members())
    return zipped([*entries[:-1], replace(entries[-1], claimed_checksum=1)])


@_case("archive_inconsistent")
def overlapping_members(base: Archive, canary: Path) -> bytes:
    """Two entries of the directory over the same bytes: how small files become large ones."""
    entries = entries_of(base.members())
    again = replace(entries[0], name=b"program/data/weights/weight_99", data=b"", claimed_offset=0)
    whole = zipped([*entries, again])
    return whole


@_case("archive_inconsistent")
def size_past_the_end(base: Archive, canary: Path) -> bytes:
    entries = entries_of(base.members())
    return zipped([*entries[:-1], replace(entries[-1], claimed_size=1 << 31)])


@_case("archive_inconsistent")
def size_needs_wide_field_that_is_missing(base: Archive, canary: Path) -> bytes:
    entries = entries_of(base.members())
    return zipped([*entries[:-1], replace(entries[-1], claimed_size=0xFFFFFFFF)])


@_case("archive_inconsistent")
def wide_size_past_the_end(base: Archive, canary: Path) -> bytes:
    entries = entries_of(base.members())
    extra = struct.pack("<HHQQ", 1, 16, 1 << 62, 1 << 62)
    wide = replace(entries[-1], claimed_size=0xFFFFFFFF, extra=extra)
    return zipped([*entries[:-1], wide])


@_case("archive_inconsistent")
def something_before(base: Archive, canary: Path) -> bytes:
    """An archive that is also another file: here a script."""
    entries = entries_of(base.members())
    return zipped(entries, before=b"#!/bin/sh\ntouch " + str(canary).encode() + b"\n")


@_case("not_an_archive")
def something_after(base: Archive, canary: Path) -> bytes:
    return base.to_bytes() + b"trailing"


@_case("archive_inconsistent")
def something_between(base: Archive, canary: Path) -> bytes:
    return zipped(entries_of(base.members()), gap=b"hidden bytes between members")


@_case("archive_inconsistent")
def encrypted_flag(base: Archive, canary: Path) -> bytes:
    entries = entries_of(base.members())
    return zipped([replace(entries[0], flags=0x801), *entries[1:]])


@_case("archive_inconsistent")
def comment_at_the_end(base: Archive, canary: Path) -> bytes:
    whole = base.to_bytes()
    return whole[:-2] + struct.pack("<H", 22) + whole[-22:]


@_case("archive_inconsistent")
def two_end_records_that_disagree(base: Archive, canary: Path) -> bytes:
    whole = base.to_bytes()
    short, end = whole[-22:], len(whole) - 22
    count, length, start = struct.unpack("<HII", short[10:20])
    wide = struct.pack("<4sQHHIIQQQQ", b"PK\x06\x06", 44, 30, 45, 0, 0, count, count, length, start)
    locator = struct.pack("<4sIQI", b"PK\x06\x07", 0, end, 1)
    lie = short[:8] + struct.pack("<HHII", 1, 1, length, start) + b"\x00\x00"
    return whole[:-22] + wide + locator + lie


@_case("archive_too_large")
def far_too_many_members_claimed(base: Archive, canary: Path) -> bytes:
    whole = base.to_bytes()
    return whole[:-14] + struct.pack("<HH", 0xFFFE, 0xFFFE) + whole[-10:]


@_case("not_an_archive")
def nothing(base: Archive, canary: Path) -> bytes:
    return b""


@_case("not_an_archive")
def cut_short(base: Archive, canary: Path) -> bytes:
    whole = base.to_bytes()
    return whole[: len(whole) // 2]


@_case("not_an_archive")
def plain_pickle(base: Archive, canary: Path) -> bytes:
    return pickled(canary)


@_case("archive_format_unsupported")
def without_format(base: Archive, canary: Path) -> bytes:
    return base.without("archive_format").to_bytes()


@_case("archive_format_unsupported")
def big_endian(base: Archive, canary: Path) -> bytes:
    return base.with_member("byteorder", b"big").to_bytes()


@_case("member_too_large")
def endless_small_member(base: Archive, canary: Path) -> bytes:
    return base.with_member("archive_format", b"pt2" + b" " * 10_000).to_bytes()


# --- JSON ---------------------------------------------------------------------------------------

_text("json_nests_deeply", "bad_json", GRAPH, lambda d, c: b"[" * 200_000)
_text("json_nests_deeply_and_closes", "bad_json", GRAPH, lambda d, c: b"[" * 90_000 + b"]" * 90_000)
_text(
    "json_key_twice",
    "bad_json",
    GRAPH,
    lambda d, c: d.replace(b'{"graph_module"', b'{"graph_module": 1, "graph_module"', 1),
)
_text("json_nan", "bad_json", GRAPH, lambda d, c: d.replace(b"0.1", b"NaN", 1))
_text("json_infinity", "bad_json", GRAPH, lambda d, c: d.replace(b"0.1", b"-Infinity", 1))
_text("json_not_utf8", "bad_json", GRAPH, lambda d, c: d.replace(b'"x"', b'"\xff"'))
_text("json_utf16", "bad_json", GRAPH, lambda d, c: d.decode().encode("utf-16"))
_text("json_endless_integer", "bad_json", GRAPH, lambda d, c: d.replace(b"[2, 2]", b"9" * 100_000))
_text("json_is_a_pickle", "bad_json", GRAPH, lambda d, c: pickled(c))
_text("json_is_a_list", "bad_graph", GRAPH, lambda d, c: b"[]")
_text("json_is_null", "bad_graph", WEIGHTS, lambda d, c: b"null")
_text("constants_are_text", "bad_graph", CONSTANTS, lambda d, c: b'{"config": "x"}')
_text("json_trailing", "bad_json", GRAPH, lambda d, c: d + b"{}")
_text(
    "json_of_another_version",
    "archive_format_unsupported",
    GRAPH,
    lambda d, c: d.replace(b'"major": 8', b'"major": 9'),
)
_text("json_too_large", "member_too_large", GRAPH, lambda d, c: d + b" " * (64 << 20))

# --- weights ------------------------------------------------------------------------------------


def _meta(archive: Archive, name: str = "fc.weight") -> dict[str, Any]:
    found = archive.weights["config"][name]["tensor_meta"]
    assert isinstance(found, dict)
    return found


def _ints(*numbers: int) -> list[dict[str, int]]:
    return [{"as_int": number} for number in numbers]


for _name, _change in {
    "offset_past_the_end": {"storage_offset": {"as_int": 1}},
    "offset_negative": {"storage_offset": {"as_int": -1}},
    "offset_enormous": {"storage_offset": {"as_int": 1 << 62}},
    "offset_beyond_64_bits": {"storage_offset": {"as_int": 1 << 70}},
    "stride_past_the_end": {"strides": _ints(129, 1)},
    "stride_negative": {"strides": _ints(-128, 1)},
    "stride_missing": {"strides": _ints(1)},
    "size_negative": {"sizes": _ints(-10, 128)},
    "size_past_the_end": {"sizes": _ints(11, 128)},
}.items():
    _changed(
        f"weights_{_name}",
        "weights_out_of_bounds",
        lambda a, change=_change: _meta(a).update(change),  # type: ignore[misc]
    )
_changed(
    "weights_size_enormous",
    "tensor_too_large",
    lambda a: _meta(a).update(sizes=_ints(1 << 40, 1 << 40), strides=_ints(0, 0)),
)
_changed(
    "weights_expanded_from_one_number",
    "tensor_too_large",
    lambda a: _meta(a).update(sizes=_ints(1 << 16, 1 << 14), strides=_ints(0, 0)),
)
_changed(
    "weights_of_rank_1000",
    "graph_too_large",
    lambda a: _meta(a).update(sizes=_ints(*[1] * 1000), strides=_ints(*[1] * 1000)),
)
_changed("weights_complex", "forbidden_dtype", lambda a: _meta(a).update(dtype=10))
_changed("weights_of_unknown_type", "forbidden_dtype", lambda a: _meta(a).update(dtype=99))
_changed("weights_sparse", "forbidden_dtype", lambda a: _meta(a).update(layout=1))
_changed(
    "weights_of_symbolic_size",
    "bad_graph",
    lambda a: _meta(a).update(sizes=[{"as_expr": {"expr_str": "s0", "hint": None}}] * 2),
)
_changed(
    "weights_elsewhere",
    "bad_graph",
    lambda a: a.weights["config"]["fc.weight"].update(path_name="../../../etc/passwd"),
)
_changed(
    "weights_missing",
    "weight_missing",
    lambda a: a.weights["config"]["fc.weight"].update(path_name="weight_999"),
)
_changed("weights_not_listed", "weight_missing", lambda a: a.weights["config"].pop("fc.weight"))
_changed(
    "weights_with_a_name_of_control_characters",
    "bad_graph",
    lambda a: a.weights["config"].update({"\u0000\ud800": a.weights["config"]["fc.weight"]}),
)
_changed(
    "weights_that_overlap",
    "parameters_overlap",
    lambda a: (
        a.weights["config"]["bn1.bias"].update(path_name="weight_1"),
        a.weights["config"]["bn1.weight"].update(path_name="weight_4"),
        _meta(a, "bn1.weight").update(storage_offset={"as_int": 3}),
    ),
)
_changed(
    "weights_disagree_with_the_graph",
    "bad_graph",
    lambda a: a.values["p_fc_weight"].update(sizes=_ints(128, 10)),
)
_changed(
    "parameter_of_integers",
    "forbidden_dtype",
    lambda a: (
        _meta(a, "fc.bias").update(dtype=4),
        a.values["p_fc_bias"].update(dtype=4),
    ),
)

# --- operators ----------------------------------------------------------------------------------

_X = ("self", {"as_tensor": {"name": "flatten"}})


def _operator(name: str, code: str, target: str, *arguments: tuple[str, dict[str, Any]]) -> None:
    _changed(name, code, lambda a: a.insert(target, *arguments, output="inserted"))


for _target in (
    "from_file.default",
    "set_.source_Tensor",
    "as_strided.default",
    "as_strided_.default",
    "rand.default",
    "randn_like.default",
    "bernoulli.p",
    "multinomial.default",
    "empty.memory_format",
    "new_empty.default",
    "resize_.default",
    "copy_.default",
    "index_put_.default",
    "_local_scalar_dense.default",
    "lstm.input",
    "embedding_bag.padding_idx",
    "max_unpool2d.default",
    "native_batch_norm.default",
    "record_stream.default",
    "relu.out",
    "relu",
    "no_such_operator.default",
):
    _operator(
        f"operator_{_target.replace('.', '_')}",
        "forbidden_operator",
        f"torch.ops.aten.{_target}",
        _X,
    )
for _target, _code in {
    "torch.ops.evil.run.default": "custom_operator",
    "torch.ops.prims.add.default": "custom_operator",
    "torch.ops.higher_order.cond": "control_flow",
    "torch.ops.higher_order.while_loop": "control_flow",
    "torch.ops.higher_order.call_torchbind": "custom_objects",
    "torch.ops.higher_order.triton_kernel_wrapper_mutation": "custom_objects",
    "os.system": "forbidden_operator",
    "builtins.eval": "forbidden_operator",
    "_operator.getitem": "forbidden_operator",
    "_operator.call": "forbidden_operator",
    "_operator.attrgetter": "forbidden_operator",
    "torch.load": "forbidden_operator",
    "torch.ops.aten.relu.default\n": "forbidden_operator",
    "torch.ops.aten.relu.default.x": "forbidden_operator",
    "torch.ops.aten.rеlu.default": "forbidden_operator",  # the e is Cyrillic
    "torch.ops.aten.__class__.default": "forbidden_operator",
}.items():
    _operator(f"target_{_target!r}", _code, _target, _X)


@_case("custom_objects")
def object_as_argument(base: Archive, canary: Path) -> bytes:
    thing = {"as_custom_obj": {"name": "o", "class_fqn": "os.system"}}
    return base.changed(
        lambda a: a.insert("torch.ops.aten.relu.default", ("self", thing), output="y")
    ).to_bytes()


_operator(
    "graph_as_argument",
    "control_flow",
    "torch.ops.aten.relu.default",
    ("self", {"as_graph": {"name": "g", "graph": {}}}),
)
_operator(
    "operator_as_argument",
    "custom_objects",
    "torch.ops.aten.relu.default",
    ("self", {"as_operator": "os.system"}),
)
_operator(
    "complex_as_argument",
    "argument_unsupported",
    "torch.ops.aten.mul.Tensor",
    _X,
    ("other", {"as_complex": {"real": 1.0, "imag": 1.0}}),
)

# --- arguments ----------------------------------------------------------------------------------

_operator(
    "full_enormous",
    "literal_too_large",
    "torch.ops.aten.full.default",
    ("size", {"as_ints": [1 << 20, 1 << 20]}),
    ("fill_value", {"as_int": 0}),
)
_operator(
    "zeros_beyond_64_bits",
    "literal_too_large",
    "torch.ops.aten.zeros.default",
    ("size", {"as_ints": [1 << 64]}),
)
_operator(
    "arange_enormous",
    "literal_too_large",
    "torch.ops.aten.arange.default",
    ("end", {"as_int": 1 << 40}),
)
_operator(
    "arange_of_tiny_steps",
    "literal_too_large",
    "torch.ops.aten.arange.start_step",
    ("start", {"as_float": 0.0}),
    ("end", {"as_float": 1.0}),
    ("step", {"as_float": 1e-300}),
)
_operator(
    "arange_to_infinity",
    "literal_too_large",
    "torch.ops.aten.arange.default",
    ("end", {"as_float": "Infinity"}),
)
_operator(
    "eye_enormous", "literal_too_large", "torch.ops.aten.eye.default", ("n", {"as_int": 1 << 20})
)
_operator(
    "repeat_enormous",
    "literal_too_large",
    "torch.ops.aten.repeat.default",
    _X,
    ("repeats", {"as_ints": [1 << 10, 1 << 10]}),
)
_operator(
    "pad_enormous",
    "literal_too_large",
    "torch.ops.aten.pad.default",
    _X,
    ("pad", {"as_ints": [1 << 20, 0]}),
)
_operator(
    "one_hot_enormous",
    "literal_too_large",
    "torch.ops.aten.one_hot.default",
    _X,
    ("num_classes", {"as_int": 1 << 30}),
)
_operator(
    "resample_enormous",
    "literal_too_large",
    "torch.ops.aten.upsample_nearest2d.vec",
    ("input", _X[1]),
    ("output_size", {"as_none": True}),
    ("scale_factors", {"as_floats": [1e9, 1e9]}),
)
_operator("conversion_of_nothing", "bad_graph", "torch.ops.aten.to.dtype")
_operator(
    "conversion_of_text",
    "bad_graph",
    "torch.ops.aten.to.dtype",
    ("self", {"as_string": "x"}),
    ("dtype", {"as_scalar_type": 7}),
)
_operator("argument_missing", "bad_argument", "torch.ops.aten.mm.default", _X)
_operator("argument_unknown", "bad_argument", "torch.ops.aten.relu.default", _X, ("out", _X[1]))
_operator("argument_twice", "bad_argument", "torch.ops.aten.relu.default", _X, _X)
_operator(
    "argument_of_wrong_kind",
    "bad_argument",
    "torch.ops.aten.relu.default",
    ("self", {"as_string": "x"}),
)
_operator(
    "size_for_tensor",
    "value_undefined",
    "torch.ops.aten.relu.default",
    ("self", {"as_sym_int": {"as_name": "s77"}}),
)
_operator(
    "list_too_long",
    "graph_too_large",
    "torch.ops.aten.cat.default",
    ("tensors", {"as_tensors": [{"name": "flatten"}] * 5000}),
)
_operator(
    "text_too_long",
    "bad_graph",
    "torch.ops.aten.einsum.default",
    ("equation", {"as_string": "a" * 10_000}),
    ("tensors", {"as_tensors": [{"name": "flatten"}]}),
)
_operator(
    "too_many_arguments",
    "graph_too_large",
    "torch.ops.aten.relu.default",
    *[(f"a{index}", {"as_int": 0}) for index in range(100)],
)
_operator(
    "sparse_layout",
    "forbidden_layout",
    "torch.ops.aten.zeros_like.default",
    _X,
    ("layout", {"as_layout": 1}),
)
_operator(
    "dropout_while_training",
    "training_mode",
    "torch.ops.aten.dropout.default",
    ("input", _X[1]),
    ("p", {"as_float": 0.5}),
    ("train", {"as_bool": True}),
)
_operator(
    "parameter_written",
    "training_mode",
    "torch.ops.aten.mul_.Scalar",
    ("self", {"as_tensor": {"name": "p_fc_bias"}}),
    ("other", {"as_int": 2}),
)
_operator(
    "input_written",
    "input_mutated",
    "torch.ops.aten.relu_.default",
    ("self", {"as_tensor": {"name": "x"}}),
)

# --- values -------------------------------------------------------------------------------------

_operator(
    "value_undefined",
    "value_undefined",
    "torch.ops.aten.relu.default",
    ("self", {"as_tensor": {"name": "nowhere"}}),
)
_operator(
    "value_of_itself",
    "value_undefined",
    "torch.ops.aten.relu.default",
    ("self", {"as_tensor": {"name": "inserted"}}),
)
_changed("cycle", "value_undefined", lambda a: a.nodes.reverse())
_changed("value_twice", "value_redefined", lambda a: a.nodes.append(a.nodes[-1]))
_changed(
    "results_of_the_wrong_number",
    "bad_graph",
    lambda a: a.nodes[0]["outputs"].append({"as_tensor": {"name": "second"}}),
)
_changed(
    "no_result",
    "value_undefined",
    lambda a: a.nodes[-1].update(outputs=[]),
)
_changed(
    "output_undefined",
    "value_undefined",
    lambda a: a.module["signature"]["output_specs"][0]["user_output"]["arg"]["as_tensor"].update(
        name="nowhere"
    ),
)
_changed(
    "output_is_a_number",
    "bad_output",
    lambda a: a.module["signature"]["output_specs"][0]["user_output"].update(arg={"as_int": 1}),
)
_changed("no_output", "bad_output", lambda a: a.module["signature"].update(output_specs=[]))
_changed(
    "buffer_changed",
    "training_mode",
    lambda a: a.module["signature"]["output_specs"].append(
        {"buffer_mutation": {"arg": {"name": "linear"}, "buffer_name": "bn1.running_mean"}}
    ),
)
_changed(
    "inputs_listed_differently",
    "bad_graph",
    lambda a: a.module["graph"]["inputs"].reverse(),
)
_changed(
    "object_among_the_inputs",
    "custom_objects",
    lambda a: (
        a.module["graph"]["inputs"].append({"as_custom_obj": {"name": "o", "class_fqn": "c"}}),
        a.module["signature"]["input_specs"].append(
            {"custom_obj": {"arg": {"name": "o", "class_fqn": "c"}, "custom_obj_name": "o"}}
        ),
    ),
)
_changed(
    "objects_of_the_graph",
    "custom_objects",
    lambda a: a.module["graph"].update(custom_obj_values={"o": {"name": "o", "class_fqn": "c"}}),
)
_changed(
    "input_of_unsafe_name",
    "bad_input",
    lambda a: (
        a.values.update({"x; drop": a.values["x"]}),
        a.module["graph"]["inputs"][-1]["as_tensor"].update(name="x; drop"),
        a.module["signature"]["input_specs"][-1]["user_input"]["arg"]["as_tensor"].update(
            name="x; drop"
        ),
    ),
)
_changed(
    "input_of_enormous_size",
    "tensor_too_large",
    lambda a: a.values["x"].update(sizes=[a.values["x"]["sizes"][0], *_ints(1 << 30, 1 << 30)]),
)
_changed("input_of_rank_0", "static_batch", lambda a: a.values["x"].update(sizes=[]))


@_case("graph_too_large")
def a_million_nodes(base: Archive, canary: Path) -> bytes:
    """As many as fit the size of a graph file."""
    members = base.members()
    document = json.dumps({**base.graph, "graph_module": None})
    module = json.dumps({**base.module, "graph": None})
    graph = json.dumps({**base.module["graph"], "nodes": None})
    nodes = "[" + "{}," * 999_999 + "{}]"
    graph = graph.replace('"nodes": null', f'"nodes": {nodes}')
    module = module.replace('"graph": null', f'"graph": {graph}')
    text = document.replace('"graph_module": null', f'"graph_module": {module}')
    return zipped(entries_of({**members, GRAPH: text.encode()}))


@_case("graph_too_large")
def as_many_objects_as_fit(base: Archive, canary: Path) -> bytes:
    """The graph file is full of small objects: more memory than the check may use."""
    members = base.members()
    members[GRAPH] = b"[" + b'{"":0},' * ((64 << 20) // 7 - 2) + b"{}]"
    return zipped(entries_of(members))


# --- what is ignored ----------------------------------------------------------------------------


def harmless(base: Archive, canary: Path) -> bytes:
    """Payloads wherever the reader never looks: it reads the program as if they were absent."""

    def change(archive: Archive) -> None:
        archive.others[SAMPLES] = pickled(canary)
        archive.graph["guards_code"] = [expression(canary)]
        archive.graph["range_constraints"] = {expression(canary): {"min_val": 0, "max_val": 9}}
        archive.graph["verifiers"] = [expression(canary)]
        archive.module["metadata"] = {"x": expression(canary)}
        archive.module["module_call_graph"] = [{"fqn": "", "signature": expression(canary)}]
        archive.module["graph"]["sym_int_values"] = {
            "s": {"as_expr": {"expr_str": expression(canary), "hint": {"as_int": 1}}}
        }
        for node in archive.nodes:
            node["metadata"] = {"stack_trace": expression(canary), "nn_module_stack": "x"}
        archive.values["linear"]["sizes"][0]["as_expr"]["expr_str"] = expression(canary)

    return base.changed(change).to_bytes()


assert ROOT == "program/"
assert len({case.name for case in HOSTILE}) == len(HOSTILE)
