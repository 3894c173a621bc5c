"""Headers of safetensors files, checked without loading a value.

Owns the format's rules: every byte of the file belongs to the header or to exactly one tensor.
Reads through a function, so that a file in the store costs a request or two.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any, Final, NoReturn

from service.domain.problems import Problem

#: Reads bytes `start` to `stop` of a file.
Read = Callable[[int, int], bytes]

#: Names and metadata are most of it; decoding costs up to 25 times as much memory.
MAX_HEADER_BYTES: Final = 32 << 20
#: A quarter more than a program may have. What holds more is refused before it is decoded, which
#: takes the interpreter seconds, and all other requests with it.
MAX_TENSORS: Final = 25_000
_OPENINGS_A_TENSOR: Final = 3
_COMMAS_A_TENSOR: Final = 16
_QUOTES_A_TENSOR: Final = 16
#: torch's own limit on dimensions.
MAX_RANK: Final = 64

#: Takes each string once, an unfinished one to the end: no looking back.
_STRING: Final = re.compile(rb'"(?:[^"\\]++|\\.?)*+(?:"|\Z)', re.DOTALL)
_FIRST_READ: Final = 64 << 10
_LENGTH_BYTES: Final = 8
_METADATA: Final = "__metadata__"
_MEMBERS: Final = {"dtype", "shape", "data_offsets"}

#: Bits of an element of each of the format's types.
_BITS: Final = {
    "F4": 4,
    "F6_E2M3": 6,
    "F6_E3M2": 6,
    "BOOL": 8,
    "U8": 8,
    "I8": 8,
    "F8_E5M2": 8,
    "F8_E4M3": 8,
    "F8_E8M0": 8,
    "F8_E5M2FNUZ": 8,
    "F8_E4M3FNUZ": 8,
    "I16": 16,
    "U16": 16,
    "F16": 16,
    "BF16": 16,
    "I32": 32,
    "U32": 32,
    "F32": 32,
    "I64": 64,
    "U64": 64,
    "F64": 64,
    "C64": 64,
}


@dataclass(frozen=True)
class Entry:
    """One tensor of a file.

    Attributes:
        dtype: the format's name of the element type, such as "F32".
        shape: its dimensions; () for a scalar.
        start, stop: where its bytes lie, counted from the beginning of the file.
    """

    dtype: str
    shape: tuple[int, ...]
    start: int
    stop: int


def read_safetensors_header(read: Read, size: int) -> dict[str, Entry]:
    """A safetensors file's tensors by name, in the order of its header.

    Args:
        read: gives bytes `start` to `stop` of the file; asked only for what lies within `size`.
        size: bytes of the whole file.

    Raises:
        Problem: `object_invalid` for anything that the format does not allow; the detail says what
            is wrong and what to do. Whatever `read` raises passes.
    """
    if size < _LENGTH_BYTES + 2:
        _refuse(f"it has {size} bytes, too few for a safetensors file")
    beginning = _exactly(read, 0, min(size, _FIRST_READ))
    length = int.from_bytes(beginning[:_LENGTH_BYTES], "little")
    data = _LENGTH_BYTES + length
    if length > MAX_HEADER_BYTES or length < 2 or beginning[_LENGTH_BYTES] != ord("{"):
        _refuse(
            "it does not begin as a safetensors file does (a header of at most "
            f"{MAX_HEADER_BYTES} bytes); save it with safetensors' save_file"
        )
    if data > size:
        _refuse(f"it ends within its header ({size} of at least {data} bytes); upload it whole")
    text = beginning[_LENGTH_BYTES:data]
    if data > len(beginning):
        text += _exactly(read, len(beginning), data)
    entries = {
        name: _entry(name, value, data, size)
        for name, value in _decode(text).items()
        if not _is_metadata(name, value)
    }
    _check_layout(entries, data, size)
    return entries


def _require_parsable(text: bytes) -> None:
    """Refuses what cannot be the header of so many tensors, before any of its values is made."""
    if text.count(b'"') > _QUOTES_A_TENSOR * MAX_TENSORS or (
        _has_too_many(text) and _has_too_many(_STRING.sub(b"", text))
    ):
        _refuse(f"its header holds more than {MAX_TENSORS} tensors")


def _has_too_many(text: bytes) -> bool:
    return (
        text.count(b"[") + text.count(b"{") > 2 + _OPENINGS_A_TENSOR * MAX_TENSORS
        or text.count(b",") > _COMMAS_A_TENSOR * MAX_TENSORS
    )


def _decode(text: bytes) -> dict[str, Any]:
    _require_parsable(text)
    try:
        header = json.loads(
            text.decode("utf-8"), object_pairs_hook=_distinct, parse_constant=_no_constant
        )
    except (ValueError, RecursionError):
        # names may be as long as the header: what exactly json says is not worth repeating
        _refuse("its header is not JSON in UTF-8; save it with safetensors' save_file")
    if not isinstance(header, dict):
        _refuse("its header is not a JSON object; save it with safetensors' save_file")
    return header


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                _refuse(f"its header names {_shown(name)} twice")
            seen.add(name)
    return members


def _no_constant(constant: str) -> NoReturn:
    raise ValueError(constant)


def _is_metadata(name: str, value: object) -> bool:
    if name != _METADATA:
        return False
    if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
        _refuse(f"its {_METADATA} is not an object of strings")
    return True


def _entry(name: str, value: object, data: int, size: int) -> Entry:
    tensor = f"tensor {_shown(name)}"
    if any("\ud800" <= character <= "\udfff" or character == "\0" for character in name):
        _refuse(f"the name of {tensor} is not text")
    if not isinstance(value, dict) or value.keys() != _MEMBERS:
        _refuse(f"{tensor} does not have exactly dtype, shape and data_offsets")
    dtype, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _BITS:
        _refuse(f"{tensor} has the unknown dtype {_shown(dtype)}")
    if not _are_counts(shape) or len(shape) > MAX_RANK:
        _refuse(f"the shape of {tensor} is not a list of up to {MAX_RANK} whole numbers")
    if not _are_counts(offsets) or len(offsets) != 2:
        _refuse(f"the data_offsets of {tensor} are not two whole numbers")
    start, stop = data + offsets[0], data + offsets[1]
    if start > stop:
        _refuse(f"{tensor} ends before it begins")
    if stop > size:
        _refuse(
            f"{tensor} ends at byte {stop} and the file at byte {size}: it was cut short; "
            "upload it whole"
        )
    # Python's whole numbers do not overflow, and rank and dimensions are bounded
    bits = prod(shape) * _BITS[dtype]
    if bits != 8 * (stop - start):
        _refuse(
            f"{tensor}, {dtype} of shape {list(shape)}, needs {-(-bits // 8)} bytes and has "
            f"{stop - start}"
        )
    return Entry(dtype, tuple(shape), start, stop)


def _are_counts(value: object) -> bool:
    return isinstance(value, list) and all(type(n) is int and 0 <= n < 1 << 63 for n in value)


def _check_layout(entries: dict[str, Entry], data: int, size: int) -> None:
    """Every byte after the header belongs to exactly one tensor."""
    reached = data
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].start, item[1].stop)):
        if entry.start != reached:
            what = "overlaps the one before" if entry.start < reached else "follows a gap"
            _refuse(f"tensor {_shown(name)} {what}; save the file with safetensors' save_file")
        reached = entry.stop
    if reached != size:
        _refuse(f"its tensors end at byte {reached} and the file at byte {size}")


def _exactly(read: Read, start: int, stop: int) -> bytes:
    data = read(start, stop)
    if len(data) != stop - start:
        _refuse(f"it ends before byte {stop}; upload it whole")
    return data


def _shown(value: object) -> str:
    text = ascii(value)
    return text if len(text) <= 100 else text[:100] + "…"


def _refuse(what: str) -> NoReturn:
    raise Problem("object_invalid", f"not a usable safetensors file: {what}")
