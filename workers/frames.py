"""Frames between a supervisor and its child: a JSON header and raw blobs, over a pipe.

    frame = b"LAf1" | header length u32 | blobs length u64 | header (UTF-8 JSON) | blobs

The header is `{"type": …, "body": {…}, "blobs": [size, …]}`. Owns the bytes and their limits:
the child runs what strangers uploaded, so the reading side believes no length it has not
checked. Imports nothing of ours and no torch; never decides what a frame means, which is
`workers.protocol`'s.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

MAGIC: Final = b"LAf1"
_PREFIX: Final = struct.Struct("<4sIQ")

#: A header lists cells and problems, never tensors.
MAX_HEADER_BYTES: Final = 16 << 20
#: Two directions of a large network, or a program's constants.
MAX_BLOB_BYTES: Final = 64 << 30
_READ_BYTES: Final = 1 << 20


class ProtocolError(Exception):
    """The other side wrote something that is no frame."""


@dataclass(frozen=True)
class Frame:
    """One message. `blobs` are raw bytes that the body refers to by position."""

    type: str
    body: Mapping[str, Any] = field(default_factory=dict)
    blobs: tuple[bytes, ...] = ()


def encode(frame: Frame) -> Iterator[bytes | memoryview]:
    """The frame's bytes in pieces; blobs are not copied.

    Raises:
        ValueError: a body that is not strict JSON (NaN and infinities go into blobs).
    """
    header = json.dumps(
        {"type": frame.type, "body": frame.body, "blobs": [len(blob) for blob in frame.blobs]},
        allow_nan=False,
        separators=(",", ":"),
    ).encode()
    if len(header) > MAX_HEADER_BYTES:
        raise ValueError(f"a frame's header of {len(header)} bytes is too long")
    yield _PREFIX.pack(MAGIC, len(header), sum(len(blob) for blob in frame.blobs)) + header
    for blob in frame.blobs:
        yield memoryview(blob)


class FrameParser:
    """Turns chunks of bytes into frames. Holds at most one unfinished frame."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    @property
    def unfinished(self) -> bool:
        """Whether a frame has begun and not ended."""
        return bool(self._buffer)

    def feed(self, data: bytes) -> list[Frame]:
        """The frames completed by `data`, in order.

        Raises:
            ProtocolError: wrong magic, a length beyond the limits, or a malformed header.
        """
        self._buffer += data
        frames: list[Frame] = []
        while len(self._buffer) >= _PREFIX.size:
            magic, header_bytes, blob_bytes = _PREFIX.unpack_from(self._buffer)
            if magic != MAGIC:
                raise ProtocolError(f"a frame begins with {MAGIC!r}, got {bytes(magic)!r}")
            if header_bytes > MAX_HEADER_BYTES or blob_bytes > MAX_BLOB_BYTES:
                raise ProtocolError(
                    f"a frame of {header_bytes} + {blob_bytes} bytes is beyond the limits"
                )
            stop = _PREFIX.size + header_bytes + blob_bytes
            if len(self._buffer) < stop:
                break
            with memoryview(self._buffer) as view:
                frames.append(_frame(view[_PREFIX.size : stop], header_bytes))
            del self._buffer[:stop]
        return frames


def write_frame(fd: int, frame: Frame) -> None:
    """Writes all of a frame to a blocking descriptor. Raises BrokenPipeError when nobody reads."""
    for piece in encode(frame):
        view = memoryview(piece).cast("B")
        while view:
            view = view[os.write(fd, view) :]


def read_frames(fd: int) -> Iterator[Frame]:
    """The frames of a blocking descriptor until its end."""
    parser = FrameParser()
    while data := os.read(fd, _READ_BYTES):
        yield from parser.feed(data)
    if parser.unfinished:
        raise ProtocolError("the stream ended in the middle of a frame")


def _frame(payload: memoryview, header_bytes: int) -> Frame:
    try:
        header = json.loads(bytes(payload[:header_bytes]))
        kind, body, sizes = header["type"], header["body"], header["blobs"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ProtocolError(f"a frame's header is malformed: {error}") from error
    if not isinstance(kind, str) or not isinstance(body, dict) or not _are_sizes(sizes):
        raise ProtocolError("a frame's header has members of the wrong types")
    if sum(sizes) != len(payload) - header_bytes:
        raise ProtocolError("a frame's blobs do not fill it")
    blobs = []
    start = header_bytes
    for size in sizes:
        blobs.append(bytes(payload[start : start + size]))
        start += size
    return Frame(kind, body, tuple(blobs))


def _are_sizes(sizes: object) -> bool:
    return isinstance(sizes, Sequence) and all(
        isinstance(size, int) and not isinstance(size, bool) and size >= 0 for size in sizes
    )
