"""Frames survive any cutting into chunks, and a hostile writer is refused early."""

from __future__ import annotations

import os
import struct
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.frames import (
    MAGIC,
    MAX_HEADER_BYTES,
    Frame,
    FrameParser,
    ProtocolError,
    encode,
    read_frames,
    write_frame,
)

_FRAMES = st.builds(
    Frame,
    type=st.text(min_size=1, max_size=8),
    body=st.dictionaries(st.text(max_size=5), st.integers() | st.text() | st.none(), max_size=4),
    blobs=st.lists(st.binary(max_size=50), max_size=3).map(tuple),
)


@given(frames=st.lists(_FRAMES, max_size=4), step=st.integers(1, 97))
def test_frames_are_the_same_however_the_stream_is_cut(frames: list[Frame], step: int) -> None:
    stream = b"".join(bytes(piece) for frame in frames for piece in encode(frame))
    parser = FrameParser()
    read = [f for i in range(0, len(stream), step) for f in parser.feed(stream[i : i + step])]
    assert read == frames
    assert not parser.unfinished


def test_a_frame_larger_than_a_pipe_goes_through() -> None:
    read_fd, write_fd = os.pipe()
    frame = Frame("done", {"axes": ["x"]}, (os.urandom(3_000_000), b""))

    def write() -> None:
        write_frame(write_fd, frame)
        os.close(write_fd)

    writer = threading.Thread(target=write)
    writer.start()
    assert list(read_frames(read_fd)) == [frame]
    writer.join()
    os.close(read_fd)


def _raw(header: bytes, blob: bytes = b"", *, blob_bytes: int | None = None) -> bytes:
    size = len(blob) if blob_bytes is None else blob_bytes
    return struct.pack("<4sIQ", MAGIC, len(header), size) + header + blob


@pytest.mark.parametrize(
    ("stream", "says"),
    [
        (b"GET / HTTP/1.1\r\n", "begins with"),
        (struct.pack("<4sIQ", MAGIC, MAX_HEADER_BYTES + 1, 0), "beyond the limits"),
        (struct.pack("<4sIQ", MAGIC, 2, 1 << 63), "beyond the limits"),
        (_raw(b"{}"), "malformed"),
        (_raw(b"[" * 100_000), "malformed"),
        (_raw(b"\xff\xfe"), "malformed"),
        (_raw(b'{"type": 1, "body": {}, "blobs": []}'), "wrong types"),
        (_raw(b'{"type": "x", "body": {}, "blobs": [-1]}'), "wrong types"),
        (_raw(b'{"type": "x", "body": {}, "blobs": [5]}', b"1234"), "do not fill"),
    ],
)
def test_what_is_no_frame_is_refused(stream: bytes, says: str) -> None:
    with pytest.raises(ProtocolError, match=says):
        FrameParser().feed(stream)


def test_a_stream_that_ends_inside_a_frame_is_refused() -> None:
    read_fd, write_fd = os.pipe()
    os.write(write_fd, b"".join(bytes(p) for p in encode(Frame("done")))[:-1])
    os.close(write_fd)
    with pytest.raises(ProtocolError, match="middle of a frame"):
        list(read_frames(read_fd))
    os.close(read_fd)


def test_nan_does_not_hide_in_a_body() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        list(encode(Frame("done", {"loss": float("nan")})))
