"""How much memory a child may take when nobody said: its share of what the machine has.

Owns the arithmetic and where the kernel says how much there is: the machine's memory, or what the
container's cgroup may use, whichever is less. All the limits together stay below that, so that a
child over its own is refused memory, and the machine's killer has nothing to do.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

#: For everything on the machine that is no worker: the system, and its cache of files.
_SYSTEM_SHARE: Final = 16
_MOST_FOR_SYSTEM: Final = 2 << 30
#: For each worker's supervisor, and its next child, which waits with torch imported.
_WORKER_BYTES: Final = 768 << 20
#: Less than this computes nothing, whatever the machine.
LEAST: Final = 512 << 20

_MEMINFO: Final = Path("/proc/meminfo")
_CGROUPS: Final = Path("/sys/fs/cgroup")
_OWN_CGROUPS: Final = Path("/proc/self/cgroup")


def default_limit(workers: int, total: int | None = None) -> int:
    """Bytes for one child.

    Args:
        workers: that share the machine, each with a child at work.
        total: of the machine; asked of it if left out.
    """
    if total is None:
        total = machine_bytes()
    left = total - min(total // _SYSTEM_SHARE, _MOST_FOR_SYSTEM) - workers * _WORKER_BYTES
    return max(left // workers, LEAST)


def machine_bytes() -> int:
    """What all processes of this machine, or of this container, may hold together."""
    return min([_installed(), *_cgroup_limits()])


def available_bytes() -> int:
    """What processes of this machine may still take without swapping. Raises OSError."""
    return _said("MemAvailable")


def _installed() -> int:
    return _said("MemTotal")


def _said(name: str) -> int:
    for line in _MEMINFO.read_text().splitlines():
        if line.startswith(f"{name}:"):
            return 1024 * int(line.split()[1])
    raise OSError(f"{_MEMINFO} does not say how much memory there is")


def _cgroup_limits() -> list[int]:
    """Of this process's groups and those above them, as far as they can be seen here."""
    found = []
    for folder, name in _cgroup_folders():
        for each in (folder, *folder.parents):
            if not each.is_relative_to(_CGROUPS):
                break
            try:
                text = (each / name).read_text().strip()
            except OSError:
                continue
            # `max`, and in version 1 a number larger than any machine, is no limit
            if text.isdigit():
                found.append(int(text))
    return found


def _cgroup_folders() -> list[tuple[Path, str]]:
    """Folders of this process's memory groups, each with the name of the limit's file."""
    try:
        lines = _OWN_CGROUPS.read_text().splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        hierarchy, controllers, path = line.split(":", 2)
        inside = path.lstrip("/")
        if hierarchy == "0":
            found.append((_CGROUPS / inside, "memory.max"))
        elif "memory" in controllers.split(","):
            found.append((_CGROUPS / "memory" / inside, "memory.limit_in_bytes"))
    return found
