"""`python -m tests.support.older_kernel PROGRAM …`: runs a program as if on an older Linux.

Owns the pretence: Landlock and filters of system calls are not there.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import sys

from workers.confinement import seccomp
from workers.confinement.system import call, prctl

_NO_NEW_PRIVILEGES = 38
_MISSING = {"seccomp": (317, 277), "landlock_create_ruleset": (444, 444)}


def main(arguments: list[str]) -> None:
    lines = [struct.pack("=HBBI", 0x20, 0, 0, 0)]
    for number in seccomp.numbers(_MISSING).values():
        lines.append(struct.pack("=HBBI", 0x15, 0, 1, number))
        lines.append(struct.pack("=HBBI", 0x06, 0, 0, 0x00050000 | errno.ENOSYS))
    code = b"".join([*lines, struct.pack("=HBBI", 0x06, 0, 0, 0x7FFF0000)])
    program = ctypes.create_string_buffer(code, len(code))
    header = struct.pack("@HP", len(code) // 8, ctypes.addressof(program))
    prctl(_NO_NEW_PRIVILEGES, 1)
    call(seccomp.numbers({"seccomp": (317, 277)})["seccomp"], 1, 0, header)
    os.execv(arguments[0], arguments)  # noqa: S606


if __name__ == "__main__":
    main(sys.argv[1:])
