"""The C library, and errors as exceptions. Owns nothing else."""

from __future__ import annotations

import ctypes
import os
from typing import Final

LIBC: Final = ctypes.CDLL(None, use_errno=True)


def checked(result: int) -> int:
    """A call's result. Raises OSError when it failed."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def call(number: int, *arguments: int | bytes | ctypes.Array[ctypes.c_char] | None) -> int:
    """A system call. Raises OSError when it fails."""
    wide = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    return checked(int(LIBC.syscall(ctypes.c_long(number), *wide)))


def prctl(option: int, value: int = 0) -> int:
    """Raises OSError when it fails."""
    return checked(int(LIBC.prctl(option, ctypes.c_ulong(value), 0, 0, 0)))
