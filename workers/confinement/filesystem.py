"""A file system of this process's own that holds only what it may read.

Owns the mounts. For root alone, before it becomes somebody else: what lies below folders that are
closed to others (a Python in /root, for one) can be read all the same, and nothing else is there.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from workers.confinement.system import LIBC, call, checked

_CLONE_NEWNS: Final = 0x00020000

_MS_RDONLY: Final = 0x1
_MS_NOSUID: Final = 0x2
_MS_REMOUNT: Final = 0x20
_MS_BIND: Final = 0x1000
_MS_REC: Final = 0x4000
_MS_PRIVATE: Final = 0x40000
_MNT_DETACH: Final = 2

_PIVOT_ROOT: Final = {"x86_64": 155, "aarch64": 41}

#: Where the new root is put together; whatever is there is not seen by anybody afterwards.
_PLACE: Final = "/tmp"  # noqa: S108 (a mount point)
_ROOT_OPTIONS: Final = b"mode=0755,size=1m"


def enter(readable: Sequence[str], devices: Sequence[str]) -> None:
    """Moves into it. What does not exist is left out. Raises OSError without the capability."""
    checked(LIBC.unshare(_CLONE_NEWNS))
    _mount(None, "/", None, _MS_REC | _MS_PRIVATE)
    # opened first: the place may hide some of them
    sources = {path: _opened(path) for path in dict.fromkeys((*readable, *devices))}
    own = sources.pop("/proc/self", None)
    _mount("tmpfs", _PLACE, "tmpfs", _MS_NOSUID, _ROOT_OPTIONS)
    # those above first, since a mount hides what is below
    for path, descriptor in sorted(sources.items()):
        if descriptor is not None:
            _bind(descriptor, Path(_PLACE + path), fixed=path not in devices)
            os.close(descriptor)
    if own is not None:
        # under its number, as the name leads there; of the others nothing is to be seen
        _bind(own, Path(_PLACE, "proc", str(os.getpid())), fixed=False)
        os.close(own)
        Path(_PLACE, "proc", "self").symlink_to(str(os.getpid()))
    os.chdir(_PLACE)
    call(_PIVOT_ROOT[os.uname().machine], b".", b".")
    checked(LIBC.umount2(b".", _MNT_DETACH))
    os.chdir("/")
    _mount(None, "/", None, _MS_REMOUNT | _MS_BIND | _MS_RDONLY | _MS_NOSUID)


def _opened(path: str) -> int | None:
    try:
        return os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return None


def _bind(descriptor: int, target: Path, *, fixed: bool) -> None:
    source = f"/proc/self/fd/{descriptor}"
    if not target.exists():
        if Path(source).is_dir():
            target.mkdir(parents=True, mode=0o755)
        else:
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
            target.touch()
    _mount(source, str(target), None, _MS_BIND | _MS_REC)
    if fixed:
        _mount(None, str(target), None, _MS_REMOUNT | _MS_BIND | _MS_RDONLY | _MS_NOSUID)


def _mount(
    source: str | None, target: str, kind: str | None, flags: int, options: bytes | None = None
) -> None:
    names = [None if name is None else os.fsencode(name) for name in (source, target, kind)]
    checked(LIBC.mount(*names, flags, options))
