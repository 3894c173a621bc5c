"""Files written whole or not at all."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place when the block ends well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp makes private files; a result is as readable as any other file
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_bytes(path: Path, data: bytes) -> Path:
    """Writes a file and returns its path."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)
    return path


def chunks(
    path: Path, size: int = 1 << 20, told: Callable[[int], None] | None = None
) -> Iterator[bytes]:
    """A file piece by piece; `told` hears how many bytes went by."""
    with path.open("rb") as file:
        while piece := file.read(size):
            yield piece
            if told is not None:
                told(len(piece))


def digest_of(path: Path, told: Callable[[int], None] | None = None) -> str:
    """A file's digest, `sha256:…`, in constant memory; `told` as of `chunks`."""
    state = hashlib.sha256()
    for piece in chunks(path, told=told):
        state.update(piece)
    return f"sha256:{state.hexdigest()}"
