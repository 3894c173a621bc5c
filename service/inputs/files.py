"""Uploaded tensor files, read through the store: headers, and values scanned in constant memory.

Owns the translation from a file's own faults to a problem at the field that named the file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from service.domain.problems import Problem
from service.inputs.fit import StoredTensor, TensorFile
from service.store.headers import read_safetensors_header
from service.store.objects import ObjectStore

#: safetensors' names of element types, in torch's words.
DTYPES: Final[Mapping[str, str]] = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U8": "uint8",
    "BOOL": "bool",
}
_NUMPY: Final[Mapping[str, str]] = {
    "float64": "<f8",
    "float32": "<f4",
    "float16": "<f2",
    "bfloat16": "<u2",
    "int64": "<i8",
    "int32": "<i4",
    "int16": "<i2",
    "int8": "<i1",
    "uint8": "<u1",
    "bool": "<u1",
}
_CHUNK: Final = 4 << 20


def open_tensors(store: ObjectStore, digest: str, size: int, *, pointer: str) -> TensorFile:
    """Reads an uploaded file's header.

    Raises:
        Problem: `object_invalid` at `pointer`: no safetensors file, or an element type that nothing
            here computes with.
    """

    def read(start: int, stop: int) -> bytes:
        return b"".join(store.open_range(digest, start, stop))

    try:
        header = read_safetensors_header(read, size)
    except Problem as problem:
        if problem.code != "object_invalid":
            raise
        raise Problem("object_invalid", problem.detail, pointer=pointer) from None
    tensors = {}
    for name, entry in header.items():
        if entry.dtype not in DTYPES:
            raise Problem(
                "object_invalid",
                f"tensor {name!r} is of type {entry.dtype}; use one of {', '.join(DTYPES)}",
                pointer=pointer,
            )
        tensors[name] = StoredTensor(
            name, DTYPES[entry.dtype], tuple(entry.shape), entry.start, entry.stop
        )
    return TensorFile(digest, tensors)


def chunks(store: ObjectStore, digest: str, tensor: StoredTensor) -> Iterator[NDArray[Any]]:
    """A tensor's values in order, a few MiB at a time; bfloat16 as its bits (uint16)."""
    dtype = np.dtype(_NUMPY[tensor.dtype])
    rest = b""
    for start in range(tensor.start, tensor.stop, _CHUNK):
        for piece in store.open_range(digest, start, min(start + _CHUNK, tensor.stop)):
            data = rest + piece
            whole = len(data) - len(data) % dtype.itemsize
            if whole:
                yield np.frombuffer(data, dtype=dtype, count=whole // dtype.itemsize)
            rest = data[whole:]


def all_finite(store: ObjectStore, digest: str, tensor: StoredTensor) -> bool:
    """Whether a floating tensor holds no NaN and no infinity; True for others."""
    if tensor.dtype == "bfloat16":
        # every bit of the exponent set: an infinity or a NaN
        return not any(
            bool(((part & np.uint16(0x7F80)) == 0x7F80).any())
            for part in chunks(store, digest, tensor)
        )
    if not tensor.dtype.startswith("float"):
        return True
    return all(bool(np.isfinite(part).all()) for part in chunks(store, digest, tensor))


def integer_range(
    store: ObjectStore, digest: str, tensor: StoredTensor, *, besides: int
) -> tuple[int, int] | None:
    """Smallest and largest value of a whole-number tensor, `besides` left out of account.

    None for a tensor of another type, or when no other value is there.
    """
    if tensor.dtype == "bool" or "float" in tensor.dtype:
        return None
    low: int | None = None
    high: int | None = None
    for part in chunks(store, digest, tensor):
        counted = part[part != besides]
        if counted.size:
            least, most = int(counted.min()), int(counted.max())
            low = least if low is None else min(low, least)
            high = most if high is None else max(high, most)
    return None if low is None or high is None else (low, high)
