"""Streams that are checked against a digest while they pass, in constant memory.

Owns the rule that the last bytes are let through only when all of them were right. Knows no S3.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import Final, Protocol

from service.domain.digests import hex_of
from service.domain.problems import Problem

_DRAIN_BYTES: Final = 1 << 20


class Source(Protocol):
    """Where bytes come from: `read(n)` blocks and gives 1 to n bytes, or none at the end."""

    def read(self, size: int, /) -> bytes: ...


class VerifiedSource:
    """A source that raises instead of ending when what it gave is not what was promised.

    Whoever reads it to its end without an exception has read exactly the bytes of `digest`.

    Args:
        size: bytes that must come; None when only the digest is known.
    """

    def __init__(self, source: Source, digest: str, size: int | None) -> None:
        self._source = source
        self._expected = hex_of(digest)
        self._size = size
        self._state = hashlib.sha256()
        self._ended = False
        self.count = 0

    def read(self, size: int) -> bytes:
        """Exactly `size` bytes, fewer at the end only.

        Raises:
            Problem: `upload_incomplete` when the source ends before its size, `digest_mismatch`
                when it is longer or its bytes are others.
        """
        pieces: list[bytes] = []
        wanted = size
        while wanted and not self._ended:
            piece = self._source.read(wanted)
            if not piece:
                self._ended = True
                self._check()
                break
            self.count += len(piece)
            if self._size is not None and self.count > self._size:
                raise Problem(
                    "digest_mismatch", f"more than the announced {self._size} bytes were sent"
                )
            self._state.update(piece)
            pieces.append(piece)
            wanted -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def drain(self) -> int:
        """Reads to the end and keeps nothing; how many bytes there were. Raises as `read`."""
        while self.read(_DRAIN_BYTES):
            pass
        return self.count

    def _check(self) -> None:
        if self._size is not None and self.count < self._size:
            raise Problem(
                "upload_incomplete",
                f"the bytes ended after {self.count} of {self._size}; send them again",
            )
        if self._state.hexdigest() != self._expected:
            raise Problem(
                "digest_mismatch",
                f"the {self.count} bytes sent have digest sha256:{self._state.hexdigest()}, not "
                f"sha256:{self._expected}; nothing was stored",
            )


def verified(pieces: Iterable[bytes], digest: str) -> Iterator[bytes]:
    """The pieces; the last one only when all together have this digest.

    Raises:
        Problem: `object_corrupt`, in place of the last piece.
    """
    state = hashlib.sha256()
    held = b""
    for piece in pieces:
        state.update(piece)
        if held:
            yield held
        held = piece
    if state.hexdigest() != hex_of(digest):
        raise corrupt(digest, "its bytes have another digest")
    if held:
        yield held


def corrupt(digest: str, what: str) -> Problem:
    """A stored object cannot be served as what it is recorded to be."""
    return Problem(
        "object_corrupt",
        f"the stored object {digest} is not usable: {what}; whoever has its bytes mends it by "
        "sending them again",
        extra={"object": digest},
    )
