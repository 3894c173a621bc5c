"""Which system calls a child may make: a filter of the kernel's (seccomp, classic BPF).

Owns the tables and the program. What is listed is refused with EPERM, and calls newer than this
list do not exist; a list of what is allowed would have to follow every version of torch and of
CUDA's driver. A call by another architecture's numbers ends the process. The numbers are
Linux's `asm/unistd.h`; the classic BPF of `linux/filter.h`, read as `linux/seccomp.h` lays it out.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from workers.confinement.system import LIBC, call

_SET_MODE_FILTER: Final = 1
_GET_ACTION_AVAILABLE: Final = 2
#: For every thread; and without the mitigations that slow the whole process down where a filter
#: runs code made by an attacker, for it runs ours.
_TO_ALL_THREADS: Final = 1
_SPECULATION_ALLOWED: Final = 4

_KILL: Final = 0x80000000
_ALLOW: Final = 0x7FFF0000
_ERRNO: Final = 0x00050000

_LOAD: Final = 0x20
_EQUALS: Final = 0x15
_AT_LEAST: Final = 0x35
_ANY_BIT: Final = 0x45
_MASK: Final = 0x54
_RETURN: Final = 0x06

_NUMBER_AT: Final = 0
_ARCHITECTURE_AT: Final = 4
_ARGUMENTS_AT: Final = 16

_CLONE_THREAD: Final = 0x00010000
#: Of clone's flags, those that make a namespace.
_CLONE_NEW: Final = 0x7E020080

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_MM: Final = 35
_PR_SET_PTRACER: Final = 0x59616D61

_TIOCSTI: Final = 0x5412
_TIOCLINUX: Final = 0x541C

_MAP_SHARED: Final = 0x01
_MAP_ANONYMOUS: Final = 0x20
#: O_WRONLY, O_RDWR, O_CREAT, O_TRUNC and what O_TMPFILE adds to O_DIRECTORY.
_FOR_WRITING: Final = 0o1 | 0o2 | 0o100 | 0o1000 | 0o20000000

#: Later calls than this, mseal, are unknown here; so are those of x32 and of aarch64's 32 bits.
_LAST_KNOWN: Final = 462

#: Name: the numbers on x86_64 and aarch64, None where there is no such call.
Table = dict[str, tuple[int | None, int | None]]

#: Refused in every case.
REFUSED: Final[Table] = {
    # reaching others over a network or a socket's name
    "connect": (42, 203),
    "bind": (49, 200),
    "listen": (50, 201),
    "accept": (43, 202),
    "accept4": (288, 242),
    "sendto": (44, 206),
    "sendmsg": (46, 211),
    "sendmmsg": (307, 269),
    # other processes' memory, descriptors and scheduling
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "process_mrelease": (448, 448),
    "kcmp": (312, 272),
    "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438),
    "pidfd_send_signal": (424, 424),
    "tkill": (200, 130),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "setpriority": (141, 140),
    "ioprio_set": (251, 30),
    "sched_setparam": (142, 118),
    "sched_setscheduler": (144, 119),
    "sched_setattr": (314, 274),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
    "setpgid": (109, 154),
    "setsid": (112, 157),
    # becoming, or starting, something else
    "fork": (57, None),
    "vfork": (58, None),
    "execve": (59, 221),
    "execveat": (322, 281),
    "setuid": (105, 146),
    "setgid": (106, 144),
    "setreuid": (113, 145),
    "setregid": (114, 143),
    "setresuid": (117, 147),
    "setresgid": (119, 149),
    "setfsuid": (122, 151),
    "setfsgid": (123, 152),
    "setgroups": (116, 159),
    "capset": (126, 91),
    "personality": (135, 92),
    "unshare": (272, 97),
    "setns": (308, 268),
    # mounts
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "move_mount": (429, 429),
    "open_tree": (428, 428),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "statmount": (457, 457),
    "listmount": (458, 458),
    # the kernel's own machinery
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "io_setup": (206, 0),
    "io_submit": (209, 2),
    "fanotify_init": (300, 262),
    "fanotify_mark": (301, 263),
    "lookup_dcookie": (212, 18),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "acct": (163, 89),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "reboot": (169, 142),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "iopl": (172, None),
    "ioperm": (173, None),
    "modify_ldt": (154, None),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "clock_adjtime": (305, 266),
    "adjtimex": (159, 171),
    "syslog": (103, 116),
    "vhangup": (153, 58),
    "nfsservctl": (180, 42),
    "uselib": (134, None),
    "ustat": (136, None),
    "sysfs": (139, None),
    "_sysctl": (156, None),
    "lsm_set_self_attr": (460, 460),
    # memory that no limit counts, and mail between processes
    "shmget": (29, 194),
    "shmat": (30, 196),
    "shmctl": (31, 195),
    "msgget": (68, 186),
    "msgsnd": (69, 189),
    "msgrcv": (70, 188),
    "msgctl": (71, 187),
    "semget": (64, 190),
    "semop": (65, 193),
    "semtimedop": (220, 192),
    "semctl": (66, 191),
    "mq_open": (240, 180),
    "mq_unlink": (241, 181),
    "memfd_secret": (447, 447),
    # files by another way than their path, and every change of one
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "creat": (85, None),
    "mkdir": (83, None),
    "mkdirat": (258, 34),
    "rmdir": (84, None),
    "unlink": (87, None),
    "unlinkat": (263, 35),
    "rename": (82, None),
    "renameat": (264, 38),
    "renameat2": (316, 276),
    "link": (86, None),
    "linkat": (265, 37),
    "symlink": (88, None),
    "symlinkat": (266, 36),
    "mknod": (133, None),
    "mknodat": (259, 33),
    "chmod": (90, None),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "chown": (92, None),
    "fchown": (93, 55),
    "lchown": (94, None),
    "fchownat": (260, 54),
    "utime": (132, None),
    "utimes": (235, None),
    "futimesat": (261, None),
    "utimensat": (280, 88),
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "fsetxattr": (190, 7),
    "removexattr": (197, 14),
    "lremovexattr": (198, 15),
    "fremovexattr": (199, 16),
    "truncate": (76, 45),
    # a lock on a file that is shared makes others wait
    "flock": (73, 32),
}

#: Refused but where there are devices, whose libraries may need it among themselves.
REFUSED_WITHOUT_DEVICES: Final[Table] = {
    "socketpair": (53, 199),
    "memfd_create": (319, 279),
}

#: Their arguments lie in memory, where no filter sees them; libraries fall back to older calls.
ABSENT: Final[Table] = {"clone3": (435, 435), "openat2": (437, 437)}

#: By `os.uname().machine`: the kernel's word for the architecture, and which number of a pair.
_ARCHITECTURES: Final = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}


@dataclass(frozen=True)
class _Instruction:
    code: int
    value: int
    if_true: int = 0
    if_false: int = 0

    def packed(self) -> bytes:
        return struct.pack("=HBBI", self.code, self.if_true, self.if_false, self.value)


_EPERM: Final = _Instruction(_RETURN, _ERRNO | errno.EPERM)
_ENOSYS: Final = _Instruction(_RETURN, _ERRNO | errno.ENOSYS)
_ALLOWED: Final = _Instruction(_RETURN, _ALLOW)


def available() -> bool:
    """Whether this machine has such filters, and we have its numbers."""
    if os.uname().machine not in _ARCHITECTURES or sys.maxsize < 1 << 32:
        return False
    killing = ctypes.c_uint32(_KILL)
    number = _number({"seccomp": (317, 277)}, "seccomp")
    operation = ctypes.c_long(_GET_ACTION_AVAILABLE)
    return int(LIBC.syscall(ctypes.c_long(number), operation, 0, ctypes.byref(killing))) == 0


def install(*, with_devices: bool) -> None:
    """Puts this process, all its threads, under the filter for good. Raises OSError."""
    code = b"".join(each.packed() for each in program(os.getpid(), with_devices=with_devices))
    instructions = ctypes.create_string_buffer(code, len(code))
    # struct sock_fprog: the number of instructions, and where they are
    header = struct.pack("@HP", len(code) // 8, ctypes.addressof(instructions))
    number = _number({"seccomp": (317, 277)}, "seccomp")
    call(number, _SET_MODE_FILTER, _TO_ALL_THREADS | _SPECULATION_ALLOWED, header)


def numbers(table: Table) -> dict[str, int]:
    """The calls of a table that there are on this architecture."""
    _, which = _ARCHITECTURES[os.uname().machine]
    return {name: pair[which] for name, pair in table.items() if pair[which] is not None}  # type: ignore[misc]


def program(pid: int, *, with_devices: bool) -> list[_Instruction]:
    """The filter of the process `pid`."""
    architecture, _ = _ARCHITECTURES[os.uname().machine]
    refused = REFUSED if with_devices else {**REFUSED, **REFUSED_WITHOUT_DEVICES}
    lines = [
        _Instruction(_LOAD, _ARCHITECTURE_AT),
        _Instruction(_EQUALS, architecture, 1, 0),
        _Instruction(_RETURN, _KILL),
        _Instruction(_LOAD, _NUMBER_AT),
        _Instruction(_AT_LEAST, _LAST_KNOWN + 1, 0, 1),
        _ENOSYS,
    ]
    for number in sorted(numbers(refused).values()):
        lines += [_Instruction(_EQUALS, number, 0, 1), _EPERM]
    for number in sorted(numbers(ABSENT).values()):
        lines += [_Instruction(_EQUALS, number, 0, 1), _ENOSYS]
    # threads, and nothing else
    lines += _case((56, 220), 0, _unless(_ANY_BIT, _CLONE_NEW), _only(_ANY_BIT, _CLONE_THREAD))
    # signals, limits and processors of its own
    lines += _case((62, 129), 0, _only_equal([pid]))
    lines += _case((234, 131), 0, _only_equal([pid]))
    lines += _case((302, 261), 0, _only_equal([0, pid]))
    lines += _case((203, 122), 0, _only_equal([0, pid]))
    options = (_PR_SET_PDEATHSIG, _PR_SET_MM, _PR_SET_PTRACER)
    lines += _case((157, 167), 0, *(_unless(_EQUALS, option) for option in options))
    lines += _case((16, 29), 1, _unless(_EQUALS, _TIOCSTI), _unless(_EQUALS, _TIOCLINUX))
    # devices' libraries look for a server of theirs, which they cannot reach: without a socket
    # they would take that for an error
    lines += _case((41, 198), 0, _only_equal([int(socket.AF_UNIX)] if with_devices else []))
    if not with_devices:
        shared = _MAP_SHARED | _MAP_ANONYMOUS
        lines += _case((9, 222), 3, [_Instruction(_MASK, shared), *_unless(_EQUALS, shared)])
        lines += _case((2, None), 1, _unless(_ANY_BIT, _FOR_WRITING))
        lines += _case((257, 56), 2, _unless(_ANY_BIT, _FOR_WRITING))
    return [*lines, _ALLOWED]


def _case(
    numbers: tuple[int | None, int | None], argument: int, *conditions: Sequence[_Instruction]
) -> list[_Instruction]:
    """A call that is allowed where its argument (the lower half of it) meets all conditions."""
    _, which = _ARCHITECTURES[os.uname().machine]
    number = numbers[which]
    if number is None:
        return []
    body = [_Instruction(_LOAD, _ARGUMENTS_AT + 8 * argument)]
    for condition in conditions:
        body += condition
    body += [_ALLOWED]
    return [_Instruction(_EQUALS, number, 0, len(body)), *body]


def _unless(code: int, value: int) -> list[_Instruction]:
    return [_Instruction(code, value, 0, 1), _EPERM]


def _only(code: int, value: int) -> list[_Instruction]:
    return [_Instruction(code, value, 1, 0), _EPERM]


def _only_equal(values: Iterable[int]) -> list[_Instruction]:
    """Goes on where the argument is one of these."""
    listed = list(values)
    tests = [
        _Instruction(_EQUALS, value, len(listed) - place, 0) for place, value in enumerate(listed)
    ]
    return [*tests, _EPERM]


def _number(table: Table, name: str) -> int:
    return numbers(table)[name]
