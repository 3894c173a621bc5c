"""`python -I -S attend.py …`: becomes another program that dies with whoever started it.

Owns what has to happen in the new process itself, before the program begins: the death signal,
a clean signal mask, and giving up root for programs that refuse to run as root. Run as a file,
standard library only: it starts in some 20 ms, and nothing of ours need be importable.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import signal
import struct
import sys
from pathlib import Path
from typing import Final, NoReturn

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_KEEPCAPS: Final = 8
_PR_SET_SECUREBITS: Final = 28
_SECBIT_NO_SETUID_FIXUP: Final = 1 << 2
_PR_CAP_AMBIENT: Final = 47
_PR_CAP_AMBIENT_RAISE: Final = 2
_CLONE_NEWUSER: Final = 0x10000000
_CAPSET: Final = {"x86_64": 126, "aarch64": 91}
_CAPABILITY_VERSION_3: Final = 0x20080522
_CAP_DAC_OVERRIDE: Final = 1
_CAP_SETPCAP: Final = 8

#: Exit codes of this file itself, as a shell would give them.
_NOT_RUNNABLE: Final = 126

_libc: Final = ctypes.CDLL(None, use_errno=True)


def main(arguments: list[str]) -> NoReturn:
    parser = argparse.ArgumentParser(prog="attend", description=__doc__)
    parser.add_argument("--parent", type=int, required=True, help="process to die with")
    parser.add_argument("--death-signal", type=int, default=int(signal.SIGKILL))
    parser.add_argument("--map-user", type=int, help="be this user in a namespace of its own")
    parser.add_argument("--drop-user", type=int, help="become this user, whose is --own")
    parser.add_argument("--own", help="path that the user of --drop-user must be able to use")
    parser.add_argument("program", nargs="+")
    chosen = parser.parse_args(arguments)
    try:
        if chosen.map_user is not None:
            _enter_namespace(chosen.map_user)
        elif chosen.drop_user is not None:
            _drop(chosen.drop_user, [chosen.program[0], chosen.own])
    except OSError as error:
        print(f"attend: root could not be given up: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(_NOT_RUNNABLE)
    # only now: the kernel forgets the death signal when a process changes its user
    _libc.prctl(_PR_SET_PDEATHSIG, chosen.death_signal, 0, 0, 0)
    if os.getppid() != chosen.parent:
        # it died between starting us and the line above
        sys.exit(_NOT_RUNNABLE)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    try:
        os.execv(chosen.program[0], chosen.program)  # noqa: S606
    except OSError as error:
        print(f"attend: {chosen.program[0]}: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(_NOT_RUNNABLE)


def _enter_namespace(user: int) -> None:
    """Outside still the same user, with the same files; inside `user`, without any privilege."""
    uid, gid = os.getuid(), os.getgid()
    _check(_libc.unshare(_CLONE_NEWUSER))
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{user} {uid} 1")
    Path("/proc/self/gid_map").write_text(f"{user} {gid} 1")


def _drop(user: int, needed: list[str]) -> None:
    """Becomes `user` for good.

    Where folders above `needed` are closed to that user (/root is, for one) the right to walk
    through them is kept, and no other: their modes are not ours to change. `access` must see that
    right as `open` does (initdb asks it of its own binaries), which a security bit says; where it
    cannot be set, that is as it was.
    """
    _libc.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    if all(os.access(path, os.X_OK) for path in needed):
        _keep(0)
    else:
        _keep(1 << _CAP_DAC_OVERRIDE | 1 << _CAP_SETPCAP)
        _libc.prctl(_PR_SET_SECUREBITS, _SECBIT_NO_SETUID_FIXUP, 0, 0, 0)
        _keep(1 << _CAP_DAC_OVERRIDE)
        _check(_libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _CAP_DAC_OVERRIDE, 0, 0))


def _keep(capabilities: int) -> None:
    """Sets the permitted, effective and inheritable capabilities, below the 32nd."""
    header = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0)
    data = struct.pack("=6I", capabilities, capabilities, capabilities, 0, 0, 0)
    _check(_libc.syscall(_CAPSET[os.uname().machine], header, data))


def _check(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


if __name__ == "__main__":
    main(sys.argv[1:])
