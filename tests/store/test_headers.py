"""Headers of safetensors files: what the format allows is read, anything else is told."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from safetensors import SafetensorError, deserialize
from safetensors.numpy import save

from service.domain.problems import Problem
from service.store.headers import MAX_HEADER_BYTES, MAX_TENSORS, Entry, read_safetensors_header

VALID = save(
    {
        "layer.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
        "layer.bias": np.zeros(2, np.float64),
        "steps": np.array(7, np.int64),
        "nothing": np.zeros((0, 4), np.float16),
        "flags": np.array([True, False]),
    },
    metadata={"format": "pt"},
)


def header_of(file: bytes) -> dict[str, Entry]:
    def read(start: int, stop: int) -> bytes:
        assert 0 <= start <= stop <= len(file), "asked for what is not there"
        return file[start:stop]

    return read_safetensors_header(read, len(file))


def built(header: Any, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def tensor(dtype: Any = "F32", shape: Any = (1,), offsets: Any = (0, 4)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def why_refused(file: bytes) -> str:
    with pytest.raises(Problem) as caught:
        header_of(file)
    assert caught.value.code == "object_invalid"
    return caught.value.detail


def test_a_file_of_the_library() -> None:
    entries = header_of(VALID)
    assert {name: (e.dtype, e.shape) for name, e in entries.items()} == {
        "layer.weight": ("F32", (2, 3)),
        "layer.bias": ("F64", (2,)),
        "steps": ("I64", ()),
        "nothing": ("F16", (0, 4)),
        "flags": ("BOOL", (2,)),
    }
    weight = entries["layer.weight"]
    read = np.frombuffer(VALID[weight.start : weight.stop], "<f4").reshape(weight.shape)
    np.testing.assert_array_equal(read, np.arange(6).reshape(2, 3))


def test_no_tensors_is_a_file() -> None:
    assert header_of(built({})) == {}
    assert header_of(built({"__metadata__": {"a": "b"}})) == {}


def test_a_header_longer_than_one_read() -> None:
    many = {f"block.{i:05}.weight": np.zeros(1, np.int8) for i in range(5000)}
    assert len(header_of(save(many))) == 5000


def test_every_prefix_is_refused() -> None:
    for length in range(len(VALID)):
        assert why_refused(VALID[:length])


def test_bytes_after_the_last_tensor_are_refused() -> None:
    assert "end at byte" in why_refused(VALID + b"\0")


@pytest.mark.parametrize(
    ("file", "words"),
    [
        (b"", "0 bytes"),
        (b"PK\x03\x04" + bytes(100), "does not begin as"),
        (built({})[:8] + b"[]", "does not begin as"),
        (struct.pack("<Q", 1 << 63) + b"{}", "does not begin as"),
        (struct.pack("<Q", MAX_HEADER_BYTES + 1) + b"{}", "at most"),
        (struct.pack("<Q", 500) + b"{}", "ends within its header"),
        (built(b"{" + b"\xff" + b"}"), "not JSON"),
        (built(b'{"a": NaN}'), "not JSON"),
        (built(b'{"a":' + b"[" * 50_000 + b"]" * 50_000 + b"}"), "not JSON"),
        (built(b'{"a": ' + b"9" * 5000 + b"}"), "not JSON"),
        (built({"a": tensor(dtype="F31")}, bytes(4)), "unknown dtype 'F31'"),
        (built({"a": tensor(dtype=["F32"])}, bytes(4)), "unknown dtype"),
        (built({"a": 5}, bytes(4)), "exactly dtype"),
        (built({"a": {"dtype": "F32", "shape": [1]}}, bytes(4)), "exactly dtype"),
        (built({"a": {**tensor(), "more": 1}}, bytes(4)), "exactly dtype"),
        (built({"a": tensor(shape=[1.0])}, bytes(4)), "whole numbers"),
        (built({"a": tensor(shape=[True])}, bytes(4)), "whole numbers"),
        (built({"a": tensor(shape=[-1, -1])}, bytes(4)), "whole numbers"),
        (built({"a": tensor(shape=[1] * 65)}, bytes(4)), "up to 64"),
        (built({"a": tensor(shape=None)}, bytes(4)), "whole numbers"),
        (built({"a": tensor(offsets=[0])}, bytes(4)), "two whole numbers"),
        (built({"a": tensor(offsets=[4, 0])}, bytes(4)), "ends before it begins"),
        (built({"a": tensor(offsets=[0, 8])}, bytes(4)), "cut short"),
        (built({"a": tensor(shape=[2])}, bytes(4)), "needs 8 bytes and has 4"),
        # 2^32 · 2^32 is 0 in 64 bits
        (built({"a": tensor(shape=[1 << 32, 1 << 32], offsets=[0, 0])}), "and has 0"),
        (built({"a": tensor(dtype="F4", shape=[1], offsets=[0, 1])}, bytes(1)), "has 1"),
        (built({"a": tensor(offsets=[4, 8])}, bytes(8)), "follows a gap"),
        (
            built({"a": tensor(), "b": tensor(shape=[2], offsets=[0, 8])}, bytes(8)),
            "overlaps the one before",
        ),
        (built({"a": tensor(), "b": tensor()}, bytes(4)), "overlaps the one before"),
        (built({"__metadata__": {"a": 1}}), "object of strings"),
        (built({"__metadata__": []}), "object of strings"),
        (built({"a\0": tensor()}, bytes(4)), "is not text"),
        (built({"a\ud800": tensor()}, bytes(4)), "is not text"),
    ],
)
def test_what_the_format_forbids(file: bytes, words: str) -> None:
    assert words in why_refused(file)


@pytest.mark.parametrize(
    "header",
    [
        b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},'
        b'"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
        b'{"a":{"dtype":"F32","dtype":"I32","shape":[1],"data_offsets":[0,4]}}',
        b'{"__metadata__":{"k":"1","k":"2"},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
    ],
)
def test_names_are_distinct(header: bytes) -> None:
    assert "twice" in why_refused(built(header, bytes(4)))


def test_long_names_do_not_fill_the_answer() -> None:
    assert len(why_refused(built({"a" * 100_000: 1}))) < 400


def test_a_reader_that_gives_less_is_told() -> None:
    with pytest.raises(Problem, match="ends before byte"):
        read_safetensors_header(lambda start, stop: VALID[start : stop - 1], len(VALID))


def test_the_readers_own_problems_pass() -> None:
    def away(start: int, stop: int) -> bytes:
        raise Problem("unavailable", "away")

    with pytest.raises(Problem) as caught:
        read_safetensors_header(away, 100)
    assert caught.value.code == "unavailable"


def _flip(file: bytes, at: int, value: int) -> bytes:
    at %= len(file)
    return file[:at] + bytes([value]) + file[at + 1 :]


def _cut(file: bytes, at: int, value: int) -> bytes:
    at %= len(file)
    return file[:at] + file[at + value % 9 :]


def _grow(file: bytes, at: int, value: int) -> bytes:
    at %= len(file)
    return file[:at] + bytes([value]) * (value % 7) + file[at:]


EDITS: dict[str, Callable[[bytes, int, int], bytes]] = {"flip": _flip, "cut": _cut, "grow": _grow}


@given(
    st.lists(
        st.tuples(
            st.sampled_from(sorted(EDITS)),
            st.one_of(st.integers(0, 7), st.integers(0, len(VALID))),
            st.one_of(st.integers(0, 255), st.sampled_from(list(b'0123456789{}[]",:-.eE\\ u'))),
        ),
        min_size=1,
        max_size=4,
    )
)
@hypothesis_settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_mutations_are_read_or_refused(edits: list[tuple[str, int, int]]) -> None:
    """Nothing but a Problem, and nothing is accepted that the format's own library refuses."""
    file = VALID
    for kind, at, value in edits:
        file = EDITS[kind](file, at, value) or b"\0"
    entries = header_or_none(file)
    if entries is not None:
        assert accepted_by_the_library(file)
        assert all(0 <= e.start <= e.stop <= len(file) for e in entries.values())


def header_or_none(file: bytes) -> dict[str, Entry] | None:
    """None when the file is refused, which must be done by Problem `object_invalid`."""
    try:
        return header_of(file)
    except Problem as problem:
        if problem.code != "object_invalid":
            raise
        return None


def accepted_by_the_library(file: bytes) -> bool:
    try:
        deserialize(file)  # type: ignore[no-untyped-call]
    except SafetensorError:
        return False
    return True


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)


@given(
    st.dictionaries(
        st.text(max_size=3) | st.just("__metadata__"),
        JSON
        | st.fixed_dictionaries(
            {
                "dtype": st.sampled_from(["F32", "I8", "F4", "f32"]) | JSON,
                "shape": st.lists(st.integers(-1, 3) | st.integers(), max_size=3) | JSON,
                "data_offsets": st.lists(st.integers(-1, 12), max_size=3) | JSON,
            }
        ),
        max_size=3,
    ),
    st.binary(max_size=24),
)
@hypothesis_settings(max_examples=400, deadline=None)
def test_any_json_is_read_or_refused(header: dict[str, Any], data: bytes) -> None:
    file = built(json.dumps(header).encode(), data)
    if header_or_none(file) is not None:
        assert accepted_by_the_library(file)


def test_a_header_of_too_many_values_is_refused_before_they_are_made() -> None:
    """Decoding half a million lists takes the interpreter, and so every request, seconds."""
    most = MAX_HEADER_BYTES - 100
    tensor = b'"%x":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}'
    for text in (
        b'{"a":[' + b"[]," * (most // 3) + b"1]}",
        b'{"a":[' + b"1," * (most // 2) + b"1]}",
        b"{" + b",".join(b'"%x":{}' % number for number in range(most // 13)) + b"}",
        b"{" + b",".join(tensor % number for number in range(MAX_TENSORS + 1)) + b"}",
        b'{"a":"' + b"[" * 200_000 + b'\\\\","b":[' + b"[]," * 200_000 + b"1]}",
    ):
        with pytest.raises(Problem, match="more than 25000 tensors"):
            header(text)
    # what stands in strings is no value
    metadata = b'"__metadata__":{"config":"' + b'[{,\\"' * 200_000 + b'"}'
    whole = b",".join(tensor % number for number in range(MAX_TENSORS // 10))
    assert len(header(b"{" + metadata + b"," + whole + b"}")) == MAX_TENSORS // 10


def header(text: bytes) -> dict[str, Entry]:
    data = struct.pack("<Q", len(text)) + text
    return read_safetensors_header(lambda start, stop: data[start:stop], len(data))
