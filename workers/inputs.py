"""The folder through which one child is given its job's files, and sees nobody else's.

Owns the folder. A child starts before its job is known, with this as its working folder and the
only data that it may read; what its job needs is linked into it afterwards, and it names those
files without a path. A link is the cached object itself: nothing is copied.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from pathlib import Path
from typing import Final

_PREFIX: Final = ".given-"


class InputFolder:
    """One child's. Use `close` when the child is gone."""

    def __init__(self, within: Path) -> None:
        """Makes it.

        Args:
            within: folder that the files are in, or at least on the disk of.
        Raises:
            OSError: it cannot be made.
        """
        while True:
            self.path = Path(tempfile.mkdtemp(dir=within.absolute(), prefix=_PREFIX))
            descriptor = _locked(self.path, fcntl.LOCK_SH)
            if descriptor is not None:
                break
        # held for as long as the folder is in use, so that others can tell what was left behind
        self._descriptor = descriptor
        # another user may be who looks a file up in it, if only by its name
        self.path.chmod(0o711)

    def give(self, file: Path) -> Path:
        """Lets the child read a file; its path as the child is to be told it.

        Raises OSError.
        """
        given = self.path / file.name
        if not given.exists():
            try:
                os.link(file, given)
            except OSError:
                # another disk, or one without links
                shutil.copyfile(file, given)
            # by whoever can reach it, which the folders above decide
            given.chmod(0o444)
        return Path(file.name)

    def close(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._descriptor)


def sweep(within: Path) -> None:
    """Removes the folders of children whose supervisors died."""
    for folder in within.glob(_PREFIX + "*"):
        with contextlib.suppress(BlockingIOError):
            descriptor = _locked(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if descriptor is not None:
                shutil.rmtree(folder, ignore_errors=True)
                os.close(descriptor)


def _locked(folder: Path, how: int) -> int | None:
    """A descriptor of a folder under a lock, or None when somebody has swept it away."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, how)
    except BlockingIOError:
        os.close(descriptor)
        raise
    if not folder.exists():
        os.close(descriptor)
        return None
    return descriptor
