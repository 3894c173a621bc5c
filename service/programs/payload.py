"""Raw tensors of the archive: where their bytes are, and whether they lie inside their member.

Owns the bounds check of sizes, strides and offsets. Describes every tensor without reading it;
`StoredTensor.contiguous` reads one, as bytes in row-major order.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Final

from service.programs import limits
from service.programs.container import Container, Member
from service.programs.graph import DTYPES, ITEM_SIZES
from service.programs.members import CONSTANTS, WEIGHTS, ProgramFiles
from service.programs.refusal import EXPORT_HINT
from service.programs.strictjson import Reader

_STRIDED: Final = 7
_PATH: Final = re.compile(r"(weight|tensor)_(0|[1-9][0-9]{0,6})")
TENSOR_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-/]*")
#: Two names that mean the same bytes, seen the same way, are one tensor.
Place = tuple[str, str, tuple[int, ...], tuple[int, ...], int]


@dataclass(frozen=True)
class TensorMeta:
    """Type and layout as the archive states them, bounds not yet checked."""

    dtype: str
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int

    @property
    def elements(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True)
class StoredTensor:
    """A tensor inside the archive, known to lie within its member.

    Attributes:
        name: fully qualified, as in the module's state dict.
        member: the bytes it is a view of.
        meta: element type, sizes, strides and offset (both in elements).
    """

    name: str
    member: Member
    meta: TensorMeta

    @property
    def place(self) -> Place:
        meta = self.meta
        return (self.member.name, meta.dtype, meta.shape, meta.strides, meta.offset)

    def contiguous(self, container: Container) -> bytes:
        """The tensor's elements, little-endian, row-major.

        Raises:
            ProgramRefused: `archive_inconsistent` when the bytes do not match their checksum.
        """
        import numpy as np  # the structural check never comes here and starts faster without

        raw = container.read(self.member, most=self.member.size)
        size = ITEM_SIZES[self.meta.dtype]
        flat = np.frombuffer(raw, dtype=f"<u{size}", count=len(raw) // size)
        if self.meta.elements == 0:
            return b""
        # Bounds were checked against the member's size when this object was made.
        view = np.lib.stride_tricks.as_strided(
            flat[self.meta.offset :],
            self.meta.shape,
            [stride * size for stride in self.meta.strides],
            writeable=False,
        )
        return view.tobytes()


def read_config(files: ProgramFiles, config: Reader, folder: str) -> dict[str, StoredTensor]:
    """Every tensor that a payload configuration lists, by name, bounds checked.

    Raises:
        ProgramRefused: `pickled_weights`, `opaque_constants`, `custom_objects`, `weight_missing`,
            `weights_out_of_bounds`, `forbidden_dtype`, `tensor_too_large`, `bad_graph`.
    """
    found: dict[str, StoredTensor] = {}
    for count, (name, entry) in enumerate(config.key("config").pairs()):
        if count >= limits.MAX_TENSORS:
            raise entry.refuse(
                "graph_too_large", f"more than {limits.MAX_TENSORS} tensors are not taken"
            )
        if len(name) > limits.MAX_NAME_BYTES or not TENSOR_NAME.fullmatch(name):
            raise entry.refuse("bad_graph", f"{name[:80]!r} is not a tensor's name")
        path = entry.key("path_name").text()
        _check_path(entry, path, name, folder)
        if entry.key("use_pickle").boolean():
            raise entry.refuse(
                "pickled_weights",
                f"{name!r} is stored as a pickle, which is never read; make it a plain tensor and "
                f"{EXPORT_HINT}",
            )
        member = files.members.get(folder + path)
        if member is None:
            raise entry.refuse("weight_missing", f"the archive lacks {folder + path!r}")
        meta = read_meta(entry.key("tensor_meta"))
        _check_bounds(entry, name, meta, member.size)
        found[name] = StoredTensor(name, member, meta)
    return found


def read_meta(reader: Reader) -> TensorMeta:
    """Element type, sizes, strides and offset, all literal.

    Raises:
        ProgramRefused: `forbidden_dtype`, `tensor_too_large`, `weights_out_of_bounds`, `bad_graph`.
    """
    dtype = read_dtype(reader.key("dtype"))
    if reader.key("layout").integer() != _STRIDED:
        raise reader.refuse("forbidden_dtype", "only dense (strided) tensors are taken")
    shape = tuple(_literal(item) for item in reader.key("sizes").items(limits.MAX_RANK))
    strides = tuple(_literal(item) for item in reader.key("strides").items(limits.MAX_RANK))
    offset = _literal(reader.key("storage_offset"))
    if len(strides) != len(shape) or offset < 0 or min((*shape, *strides, 0)) < 0:
        raise reader.refuse(
            "weights_out_of_bounds", "sizes, strides and offsets must be natural numbers"
        )
    if math.prod(shape) > limits.MAX_TENSOR_ELEMENTS or max((*shape, 0)) > limits.MAX_LITERAL:
        raise reader.refuse("tensor_too_large", f"a tensor of sizes {list(shape)} is not taken")
    return TensorMeta(dtype, shape, strides, offset)


def read_dtype(reader: Reader) -> str:
    """A serialised element type by name.

    Raises:
        ProgramRefused: `forbidden_dtype`.
    """
    dtype = DTYPES.get(reader.integer())
    if dtype is None:
        raise reader.refuse(
            "forbidden_dtype",
            f"element type {reader.value} is not taken; use one of {', '.join(DTYPES.values())}",
        )
    return dtype


def _literal(reader: Reader) -> int:
    kind, value = reader.variant()
    if kind != "as_int":
        raise reader.refuse("bad_graph", "a stored tensor's sizes must be plain integers")
    number = value.integer()
    if abs(number) > limits.INT64_MAX:
        raise reader.refuse("weights_out_of_bounds", f"{number} leaves 64 bits")
    return number


def _check_path(entry: Reader, path: str, name: str, folder: str) -> None:
    match = _PATH.fullmatch(path)
    if match and folder == (WEIGHTS if match[1] == "weight" else CONSTANTS):
        return
    if path.startswith("custom_obj"):
        raise entry.refuse("custom_objects", f"{name!r} is a TorchBind object, which is code")
    if path.startswith("opaque_obj"):
        raise entry.refuse(
            "opaque_constants", f"{name!r} is an opaque Python object, which is a pickle"
        )
    raise entry.refuse("bad_graph", f"{name!r} points at {path[:80]!r}; {EXPORT_HINT}")


def _check_bounds(entry: Reader, name: str, meta: TensorMeta, available: int) -> None:
    size = ITEM_SIZES[meta.dtype]
    if meta.elements == 0:
        needed = 0
    else:
        reach = sum((n - 1) * stride for n, stride in zip(meta.shape, meta.strides, strict=True))
        needed = (meta.offset + reach + 1) * size
    if needed > available:
        raise entry.refuse(
            "weights_out_of_bounds",
            f"{name!r} with sizes {list(meta.shape)}, strides {list(meta.strides)} and offset "
            f"{meta.offset} needs {needed} bytes; its member has {available}",
        )
    # Expanded tensors (stride 0) would let a small file stand for any amount of memory.
    if meta.elements * size > max(available, 1) * 64:
        raise entry.refuse(
            "tensor_too_large",
            f"{name!r} stands for {meta.elements * size} bytes but stores {available}; make it "
            "contiguous before exporting",
        )
