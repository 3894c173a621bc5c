"""Who a child is: nobody, without any capability, where nobody else is.

Owns leaving the supervisor's user behind. Where that is root, the child takes a user id that no
other process has (so that children cannot reach each other either); where the kernel gives user
namespaces, it is an ordinary user in one of its own, with a network of its own that leads nowhere.
"""

from __future__ import annotations

import contextlib
import os
import struct
from pathlib import Path
from typing import Final

from workers.confinement.system import LIBC, call, checked, prctl

#: By convention the user who owns nothing.
NOBODY: Final = 65_534

_CLONE_NEWUTS: Final = 0x04000000
_CLONE_NEWIPC: Final = 0x08000000
_CLONE_NEWUSER: Final = 0x10000000
_CLONE_NEWNET: Final = 0x40000000

_PR_SET_DUMPABLE: Final = 4
_PR_CAPBSET_DROP: Final = 24
_PR_CAP_AMBIENT: Final = 47
_PR_CAP_AMBIENT_CLEAR_ALL: Final = 4
_CAPSET: Final = {"x86_64": 126, "aarch64": 91}
_CAPABILITY_VERSION_3: Final = 0x20080522
_MOST_CAPABILITIES: Final = 64


def take_user(user: int) -> None:
    """Becomes a user for good. Raises OSError without the capabilities for it."""
    _drop_bounding()
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    # a change of user makes /proc/self root's, and with it the maps of a namespace
    prctl(_PR_SET_DUMPABLE, 1)


def enter_namespace() -> None:
    """Outside still the same user; inside `nobody`, without network. Raises OSError."""
    uid, gid = os.getuid(), os.getgid()
    flags = _CLONE_NEWUSER | _CLONE_NEWNET | _CLONE_NEWIPC | _CLONE_NEWUTS
    checked(LIBC.unshare(flags))
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{NOBODY} {uid} 1")
    Path("/proc/self/gid_map").write_text(f"{NOBODY} {gid} 1")


def drop_capabilities() -> None:
    """All of them, and the right to get any back."""
    _drop_bounding()
    with contextlib.suppress(OSError):
        prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    number = _CAPSET.get(os.uname().machine)
    if number is not None:
        call(number, struct.pack("=Ii", _CAPABILITY_VERSION_3, 0), bytes(24))


def _drop_bounding() -> None:
    """Those that a program could bring; for an ordinary user nothing to do, who may run none."""
    for capability in range(_MOST_CAPABILITIES):
        # needs a capability itself, and the later ones do not exist
        with contextlib.suppress(OSError):
            prctl(_PR_CAPBSET_DROP, capability)
