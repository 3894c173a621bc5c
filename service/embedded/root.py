"""Postgres refuses to run as root: how a child of root becomes an ordinary user.

Owns the choice between a user namespace (nothing outside changes: the files stay root's) and
dropping to `nobody`, for machines where namespaces are off. Tried once per process, for real.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_ATTEND: Final = str(Path(__file__).with_name("attend.py"))

#: Inside its namespace any number but 0 does.
_INSIDE: Final = 1000

#: By convention the user who owns nothing.
_NOBODY: Final = 65_534


@dataclass(frozen=True)
class Unprivileged:
    """How children stop being root.

    Attributes:
        words: for people.
        owner: user id that a child's files must belong to; None for this process's own.
    """

    words: str
    owner: int | None = None
    namespace: bool = False

    def attend(self, folder: Path) -> list[str]:
        """Options of `attend` for a child that works in `folder`."""
        if self.namespace:
            return [f"--map-user={_INSIDE}"]
        if self.owner is not None:
            return [f"--drop-user={self.owner}", f"--own={folder}"]
        return []

    def give(self, path: Path) -> None:
        """Makes a file or an empty folder the child's."""
        if self.owner is not None:
            os.chown(path, self.owner, self.owner)


@functools.cache
def unprivileged() -> Unprivileged:
    """How it is done here: nothing to do for an ordinary user."""
    if os.geteuid() != 0:
        return Unprivileged("as this user")
    if _namespaces_work():
        return Unprivileged("root, in a user namespace", namespace=True)
    return Unprivileged("root, dropped to nobody", owner=_NOBODY)


def _namespaces_work() -> bool:
    true = shutil.which("true") or "/bin/true"
    tried = subprocess.run(
        [
            sys.executable,
            "-I",
            "-S",
            _ATTEND,
            f"--parent={os.getpid()}",
            f"--map-user={_INSIDE}",
            "--",
            true,
        ],
        capture_output=True,
        check=False,
        timeout=30,
    )
    return tried.returncode == 0
