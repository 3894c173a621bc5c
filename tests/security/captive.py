"""`python -I -m tests.security.captive TERMS TASK REPLY_FD`: a child that tries to get out.

Run through `sandbox.start` in the place of `workers.child`, so that what it meets is the real
confinement. Writes a JSON object: for each attempt what came of it, "refused: …" or what it got.
Standard library only, and all of it imported before the confinement.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import mmap
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from workers.confinement import seccomp
from workers.confinement.applied import confine
from workers.confinement.terms import Terms

_LIBC = ctypes.CDLL(None, use_errno=True)
_SIZE = 1 << 20
_NAMESPACES = {
    "user": 0x10000000,
    "mount": 0x00020000,
    "network": 0x40000000,
    "process": 0x20000000,
    "ipc": 0x08000000,
}


class _Failed(Exception):
    """A call returned a negative number."""


def _call(function: Any, *arguments: Any) -> int:
    ctypes.set_errno(0)
    result = int(function(*arguments))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def _attempt(attempt: Callable[[], Any]) -> str:
    try:
        got = attempt()
    except (OSError, MemoryError, ValueError, RuntimeError, subprocess.SubprocessError) as error:
        return f"refused: {type(error).__name__}: {error}"
    return f"got {got!r}"[:200]


def _read(path: str) -> Callable[[], Any]:
    return lambda: Path(path).open("rb").read(64)


def _write(path: str) -> Callable[[], Any]:
    def attempt() -> Any:
        with Path(path).open("wb") as file:
            file.write(b"x")
        return path

    return attempt


def _connect(family: int, address: Any) -> Callable[[], Any]:
    def attempt() -> Any:
        with socket.socket(family, socket.SOCK_STREAM) as one:
            one.settimeout(2.0)
            one.connect(address)
        return address

    return attempt


def _network(task: dict[str, Any]) -> dict[str, Callable[[], Any]]:
    tried: dict[str, Callable[[], Any]] = {
        f"socket {family.name} {kind.name}": lambda f=family, k=kind: socket.socket(f, k)
        for family in socket.AddressFamily
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW)
    }
    tried["connect tcp"] = _connect(socket.AF_INET, ("127.0.0.1", task["port"]))
    tried["connect unix"] = _connect(socket.AF_UNIX, task["socket"])
    tried["connect abstract"] = _connect(socket.AF_UNIX, "\0" + task["abstract"])
    tried["socketpair"] = socket.socketpair
    return tried


def _others(task: dict[str, Any]) -> dict[str, Callable[[], Any]]:
    """Other processes: the supervisor, another child, the first of all."""
    tried: dict[str, Callable[[], Any]] = {}
    for name, pid in {**task["pids"], "first": 1}.items():
        # in a process namespace the numbers are others', and the first is bubblewrap's own
        mine = name == "first" and not os.path.exists(f"/proc/{task['pids']['supervisor']}")
        for file in ("environ", "mem", "maps", "cmdline", "auxv", "root/etc/passwd", "fd/0"):
            if not (mine and file == "cmdline"):
                tried[f"{file} of {name}"] = _read(f"/proc/{pid}/{file}")
        tried[f"environ of {name}'s thread"] = _read(f"/proc/{pid}/task/{pid}/environ")
        tried[f"descriptors of {name}"] = lambda p=pid: os.listdir(f"/proc/{p}/fd")
        for number in (0, signal.SIGTERM, signal.SIGSTOP, signal.SIGKILL):
            tried[f"signal {number} to {name}"] = lambda p=pid, n=number: os.kill(p, n)
        tried[f"tgkill {name}"] = lambda p=pid: _call(_LIBC.tgkill, p, p, 0)
        tried[f"pidfd of {name}"] = lambda p=pid: os.pidfd_open(p)
        tried[f"trace {name}"] = lambda p=pid: _call(_LIBC.ptrace, 16, p, None, None)
        tried[f"seize {name}"] = lambda p=pid: _call(_LIBC.ptrace, 0x4206, p, None, None)
        tried[f"memory of {name}"] = lambda p=pid: _peek(p)
        tried[f"limits of {name}"] = lambda p=pid: resource.prlimit(p, resource.RLIMIT_CPU, (1, 1))
        tried[f"processors of {name}"] = lambda p=pid: os.sched_setaffinity(p, {0})
        tried[f"niceness of {name}"] = lambda p=pid: os.setpriority(os.PRIO_PROCESS, p, 19)
    tried["signal to all"] = lambda: os.kill(-1, 0)
    tried["signal to the group"] = lambda: os.killpg(os.getpgid(0), 0)
    return tried


def _peek(pid: int) -> int:
    buffer = ctypes.create_string_buffer(16)
    local = (ctypes.c_void_p * 2)(ctypes.addressof(buffer), 16)
    remote = (ctypes.c_void_p * 2)(0x400000, 16)
    return _call(_LIBC.process_vm_readv, pid, local, 1, remote, 1, 0)


def _files(task: dict[str, Any]) -> dict[str, Callable[[], Any]]:
    tried: dict[str, Callable[[], Any]] = {}
    for path in task["secret"]:
        tried[f"read {path}"] = _read(path)
        tried[f"lock {path}"] = lambda p=path: _locked(p)
    for path in task["closed"]:
        tried[f"list {path}"] = lambda p=path: os.listdir(p)
    for folder in task["writable"]:
        inside = f"{folder}/captive"
        tried[f"write {folder}"] = _write(inside)
        tried[f"make a folder in {folder}"] = lambda p=inside: os.mkdir(p)
        tried[f"make a link in {folder}"] = lambda p=inside: os.symlink("/", p)
        tried[f"make a pipe in {folder}"] = lambda p=inside: os.mkfifo(p)
        tried[f"an unnamed file in {folder}"] = lambda p=folder: os.open(
            p, os.O_RDWR | os.O_TMPFILE
        )
    for path in (task["given"], *task["secret"]):
        tried[f"overwrite {path}"] = _write(path)
        tried[f"truncate by opening {path}"] = lambda p=path: os.open(p, os.O_RDONLY | os.O_TRUNC)
        tried[f"truncate {path}"] = lambda p=path: os.truncate(p, 0)
        tried[f"append to {path}"] = lambda p=path: os.open(p, os.O_WRONLY | os.O_APPEND)
        tried[f"chmod {path}"] = lambda p=path: os.chmod(p, 0o700)
        tried[f"chown {path}"] = lambda p=path: os.chown(p, os.getuid(), -1)
        tried[f"times of {path}"] = lambda p=path: os.utime(p)
        tried[f"attribute of {path}"] = lambda p=path: os.setxattr(p, "user.captive", b"x")
        tried[f"remove {path}"] = lambda p=path: os.unlink(p)
        tried[f"rename {path}"] = lambda p=path: os.rename(p, p + "2")
        tried[f"link {path}"] = lambda p=path: os.link(p, p + "3")
    tried["lock the given file"] = lambda: _locked(task["given"])
    for path in ("sys/kernel/core_pattern", "sysrq-trigger", "sys/vm/overcommit_memory"):
        tried[f"write /proc/{path}"] = lambda p=path: os.open(f"/proc/{p}", os.O_WRONLY)
    tried["write own oom score"] = lambda: os.open("/proc/self/oom_score_adj", os.O_WRONLY)
    tried["write own memory"] = lambda: os.open("/proc/self/mem", os.O_RDWR)
    return tried


def _locked(path: str) -> None:
    with Path(path).open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _processes() -> dict[str, Callable[[], Any]]:
    tried: dict[str, Callable[[], Any]] = {
        "fork": _fork,
        "run a shell": lambda: subprocess.run(["/bin/sh", "-c", "true"], check=True),
        "spawn a shell": lambda: os.posix_spawn("/bin/sh", ["/bin/sh", "-c", "true"], {}),
        "become a shell": lambda: os.execv("/bin/sh", ["/bin/sh", "-c", "true"]),  # noqa: S606
        "shared memory": lambda: mmap.mmap(-1, _SIZE),
        "memory file": lambda: os.memfd_create("captive"),
        "more memory": lambda: bytearray(8 << 30),
    }
    for name, change in {
        "user": lambda: os.setuid(0),
        "group": lambda: os.setgid(0),
        "all users": lambda: os.setresuid(0, 0, 0),
        "groups": lambda: os.setgroups([0]),
        "session": os.setsid,
    }.items():
        tried[f"change of {name}"] = change
    for name, flag in _NAMESPACES.items():
        tried[f"a {name} namespace"] = lambda f=flag: _call(_LIBC.unshare, f)
        tried[f"{name} namespace of a child"] = lambda f=flag: _clone(f)
    tried["the first one's network"] = lambda: _call(_LIBC.setns, 0, 0)
    tried["change of root"] = lambda: os.chroot("/")
    tried["mount"] = lambda: _call(_LIBC.mount, b"none", b"/tmp", b"tmpfs", 0, None)
    tried["outlive the supervisor"] = lambda: _call(_LIBC.prctl, 1, 0, 0, 0, 0)
    for name, which in {
        "DATA": resource.RLIMIT_DATA,
        "FSIZE": resource.RLIMIT_FSIZE,
        "NPROC": resource.RLIMIT_NPROC,
        "NOFILE": resource.RLIMIT_NOFILE,
        "CORE": resource.RLIMIT_CORE,
    }.items():
        infinite = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        tried[f"raise {name}"] = lambda w=which, i=infinite: resource.setrlimit(w, i)
    return tried


def _fork() -> int:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    return pid


def _clone(flags: int) -> int:
    clone = seccomp.numbers({"clone": (56, 220)})["clone"]
    pid = _call(_LIBC.syscall, clone, flags | int(signal.SIGCHLD), 0, 0, 0, 0)
    if pid == 0:
        os._exit(0)
    return pid


def _sweep() -> dict[str, str]:
    """Every call of the filter's tables, by its number; what was not refused as it should be."""
    wrong = {}
    refused = {**seccomp.REFUSED, **seccomp.REFUSED_WITHOUT_DEVICES}
    expected = dict.fromkeys(seccomp.numbers(refused).items(), errno.EPERM)
    expected |= dict.fromkeys(seccomp.numbers(seccomp.ABSENT).items(), errno.ENOSYS)
    unknown = [*range(463, 600), 1000, 0x40000000, 0x40000000 | 59, 0x7FFFFFFF]
    expected |= {(f"call {number}", number): errno.ENOSYS for number in unknown}
    for (name, number), reason in expected.items():
        ctypes.set_errno(0)
        # arguments that no such call accepts, so that nothing happens where one gets through
        result = _LIBC.syscall(ctypes.c_long(number), *[ctypes.c_long(-1)] * 6)
        if (result, ctypes.get_errno()) != (-1, reason):
            wrong[name] = f"{result}, errno {ctypes.get_errno()}"
    return wrong


def _threads() -> int:
    """How many it can have at once; gives up some way above the limit."""
    most = resource.getrlimit(resource.RLIMIT_NPROC)[0] + 100
    stop = threading.Event()
    started = []
    threading.stack_size(64 << 10)
    try:
        for _ in range(min(most, 2000)):
            thread = threading.Thread(target=stop.wait)
            thread.start()
            started.append(thread)
    except RuntimeError:
        pass
    finally:
        stop.set()
        for thread in started:
            thread.join()
    return len(started)


def main(arguments: list[str]) -> int:
    terms, task = Terms.of(arguments[0]), json.loads(arguments[1])
    reply = int(arguments[2])
    confine(terms)
    attempts = {**_network(task), **_others(task), **_files(task), **_processes()}
    report = {
        "outcomes": {name: _attempt(attempt) for name, attempt in attempts.items()},
        "sweep": _sweep(),
        "status": Path("/proc/self/status").read_text(),
        "oom": Path("/proc/self/oom_score_adj").read_text().strip(),
        "environment": dict(os.environ),
        "given": _attempt(_read(task["given"])),
        "limits": {
            name: resource.getrlimit(getattr(resource, f"RLIMIT_{name}"))
            for name in ("CORE", "CPU", "DATA", "FSIZE", "NOFILE", "NPROC")
        },
        "seen": [name for name in os.listdir("/proc") if name.isdigit()]
        if _attempt(lambda: os.listdir("/proc")).startswith("got")
        else [],
        # last, since it takes what there is
        "threads": _threads(),
    }
    os.write(reply, json.dumps(report).encode())
    os.close(reply)
    # lives on, for another captive to be tried against, until it is killed
    threading.Event().wait()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
