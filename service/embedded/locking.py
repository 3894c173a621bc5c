"""One `up` at a time over a data folder.

Owns the lock file. The kernel frees the lock when its holder is gone, however it went.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from service.embedded.refusal import Refused


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Makes the folder if need be and keeps others out. Raises Refused when one is in."""
    try:
        if not folder.exists():
            folder.mkdir(mode=0o700, parents=True)
        # not inherited: a child that outlives us for a moment must not hold it
        descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Refused(f"the data folder {folder} cannot be used: {error.strerror}") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
            raise Refused(
                f"the data folder {folder} is in use by another `lossatlas-server up`"
                f" (process {holder or 'unknown'}); stop it or choose another by --data"
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)
