"""Objects go up under their digest, streamed; what is there already is not sent again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from lossatlas.errors import InputError
from lossatlas.files import chunks
from lossatlas.progress import Reporter, sending
from lossatlas.transport import Transport

_CHUNK: Final = 1 << 20


def upload_file(transport: Transport, path: Path, *, progress: bool = True) -> str:
    """Sends a file unless the service has its bytes. Constant memory.

    Returns:
        The digest, `sha256:…`.

    Raises:
        InputError: the file cannot be read, or changed while it was sent.
        ProblemError, ServiceUnreachable: as `Transport.call`.
    """
    try:
        size = path.stat().st_size
        with sending(path.name, size, shown=progress) as report:
            digest = _digest(path, size, report)
            place = f"/v1/objects/{digest}"
            if not transport.exists(place):
                _put(transport, place, path, size, report)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from None
    return digest


def _digest(path: Path, size: int, report: Reporter) -> str:
    state = hashlib.sha256()
    done = 0
    for piece in chunks(path, _CHUNK):
        state.update(piece)
        done += len(piece)
        report(done, size, f"reading {path.name}")
    return f"sha256:{state.hexdigest()}"


def _put(transport: Transport, place: str, path: Path, size: int, report: Reporter) -> None:
    def body() -> Iterator[bytes]:
        done = 0
        for piece in chunks(path, _CHUNK):
            done += len(piece)
            if done > size:
                raise InputError(f"{path} grew while it was sent; send it again")
            yield piece
            report(done, size, f"sending {path.name}")
        if done < size:
            raise InputError(f"{path} shrank while it was sent; send it again")

    headers = {"Content-Length": str(size), "Content-Type": "application/octet-stream"}
    transport.call("PUT", place, content=body, headers=headers)
