"""Landlock: what a child may read by its path, and that it may change nothing.

Owns the ruleset. Handles every right that this kernel knows, so that what is not named here is
refused: all writing, and all reading outside the paths given. With it go connections to TCP
ports, abstract Unix sockets and signals to others, where the kernel knows these, and in any case
the memory and the environment of other processes, which Landlock keeps for its own domain.
"""

from __future__ import annotations

import ctypes
import os
import stat
import struct
from collections.abc import Sequence
from typing import Final

from workers.confinement.system import LIBC, call

# the same numbers on every architecture
_CREATE_RULESET: Final = 444
_ADD_RULE: Final = 445
_RESTRICT_SELF: Final = 446
_VERSION: Final = 1
_PATH_BENEATH: Final = 1

_WRITE_FILE: Final = 1 << 1
_READ_FILE: Final = 1 << 2
_READ_DIR: Final = 1 << 3
_IOCTL_DEV: Final = 1 << 15

#: Rights to files, by the first version that knows all of them.
_RIGHTS: Final = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
_NETWORK: Final = 0b11
_NETWORK_VERSION: Final = 4
_SCOPES: Final = 0b11
_SCOPES_VERSION: Final = 6

#: Descriptors of rules, open for as long as the process lives: a rule belongs to what the kernel
#: holds of a file, and of /proc it holds nothing that is not in use.
_held: Final[list[int]] = []


def version() -> int:
    """The version that this kernel has switched on; 0 for none."""
    return max(0, int(LIBC.syscall(ctypes.c_long(_CREATE_RULESET), None, ctypes.c_long(0), 1)))


def ruleset(readable: Sequence[str], devices: Sequence[str]) -> int:
    """A ruleset's descriptor. What does not exist is left out. Raises OSError."""
    known = version()
    handled = max(rights for first, rights in _RIGHTS.items() if first <= max(known, 1))
    attributes = struct.pack("=Q", handled)
    if known >= _NETWORK_VERSION:
        attributes += struct.pack("=Q", _NETWORK)
    if known >= _SCOPES_VERSION:
        attributes += struct.pack("=Q", _SCOPES)
    rules = call(_CREATE_RULESET, attributes, len(attributes), 0)
    for path in readable:
        _allow(rules, path, handled & (_READ_FILE | _READ_DIR))
    for path in devices:
        _allow(rules, path, handled & (_READ_FILE | _WRITE_FILE | _IOCTL_DEV))
    return rules


def restrict(rules: int) -> None:
    """Puts this process under a ruleset for good; it must have given up new privileges."""
    call(_RESTRICT_SELF, rules, 0)
    os.close(rules)


def _allow(rules: int, path: str, rights: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
        rights &= ~_READ_DIR
    call(_ADD_RULE, rules, _PATH_BENEATH, struct.pack("=Qi", rights, descriptor), 0)
    if path.startswith("/proc/"):
        _held.append(descriptor)
    else:
        os.close(descriptor)
