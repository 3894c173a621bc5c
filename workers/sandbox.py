"""How a child is started: what it may see, hold and use, and that it dies with its parent.

Owns the environment, the limits and the command line. The supervisor calls `start`; the child
calls `confine` on itself before it imports torch. Knows nothing of frames or jobs.

The child's environment is made from nothing: no variable of the supervisor's passes unless it
is named here, so no credential can. Where bubblewrap is installed the child runs in it: no
network, a read-only system, only the object cache and the devices visible. Elsewhere the
limits and the scrubbed environment remain; `describe` says which.
"""

from __future__ import annotations

import ctypes
import os
import resource
import shutil
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_NO_NEW_PRIVS: Final = 38

#: Passed on because the numbers or the devices depend on them; none can carry a secret.
_PASSED_ON: Final = (
    "CUDA_VISIBLE_DEVICES",
    "CUDA_DEVICE_ORDER",
    "LD_LIBRARY_PATH",
    "NVIDIA_VISIBLE_DEVICES",
    "TZ",
)

#: glibc gives large blocks back to the system at every free by default, and every activation is
#: then page-faulted in again: a third of the time of a small network on a CPU.
ALLOCATOR: Final = {
    "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(4 << 30),
    "MALLOC_TOP_PAD_": str(64 << 20),
}

#: Its own namespaces, no capability, and a file system that holds only what is bound into it.
_WRAPPED: Final = (
    "--die-with-parent",
    "--unshare-net",
    "--unshare-ipc",
    "--unshare-pid",
    "--unshare-uts",
    "--unshare-cgroup-try",
    "--cap-drop",
    "ALL",
    "--dev",
    "/dev",
    "--proc",
    "/proc",
    "--tmpfs",
    "/tmp",  # noqa: S108 (inside, and nobody else's)
)

#: A child writes no files; what it may write is the tail of its own standard error.
_FILE_BYTES: Final = 16 << 20
_OPEN_FILES: Final = 1024


@dataclass(frozen=True)
class Limits:
    """What one child may use. `memory_bytes` None means no limit of ours."""

    threads: int = 1
    memory_bytes: int | None = None


@dataclass(frozen=True)
class Confinement:
    """How children are confined on this machine."""

    bubblewrap: str | None

    @property
    def words(self) -> str:
        if self.bubblewrap is None:
            return "rlimits and a scrubbed environment (bubblewrap is not usable here)"
        return f"bubblewrap ({self.bubblewrap}): no network, read-only system"


def describe() -> Confinement:
    """Finds bubblewrap and tries it: installed is not usable where user namespaces are off."""
    path = shutil.which("bwrap")
    if path is not None and not _works(path):
        path = None
    return Confinement(path)


def environment(limits: Limits, outer: Mapping[str, str]) -> dict[str, str]:
    """A child's whole environment."""
    threads = str(limits.threads)
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": "/nonexistent",
        "LANG": "C.UTF-8",
        "TMPDIR": "/tmp",  # noqa: S108 (named for libraries that insist; FSIZE keeps it empty)
        "OMP_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        "OPENBLAS_NUM_THREADS": threads,
        # a result must not depend on what else the machine does
        "OMP_DYNAMIC": "FALSE",
        "MKL_DYNAMIC": "FALSE",
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
        **ALLOCATOR,
        **{name: outer[name] for name in _PASSED_ON if name in outer},
    }


def command(
    module: str, arguments: Sequence[str], *, confinement: Confinement, readable: Sequence[Path]
) -> list[str]:
    """The command line of `python -I -m module …`, in bubblewrap where there is one."""
    python = [sys.executable, "-I", "-m", module, *arguments]
    if confinement.bubblewrap is None:
        return python
    binds: list[str] = []
    for path in _visible(readable):
        binds += ["--ro-bind", str(path), str(path)]
    for device in sorted(Path("/dev").glob("nvidia*")):
        binds += ["--dev-bind", str(device), str(device)]
    return [
        confinement.bubblewrap,
        *_WRAPPED,
        *binds,
        "--",
        *python,
    ]


def start(
    module: str,
    arguments: Sequence[str],
    *,
    limits: Limits,
    descriptors: Sequence[int],
    stderr: IO[bytes],
    readable: Sequence[Path],
    confinement: Confinement,
) -> subprocess.Popen[bytes]:
    """Starts a confined Python module as the leader of its own process group.

    Call it from the main thread: the kernel kills the child when the *thread* that started it
    ends.

    Raises:
        OSError: the process could not be started.
    """
    return subprocess.Popen(
        command(module, arguments, confinement=confinement, readable=readable),
        env=environment(limits, os.environ),
        stdin=subprocess.DEVNULL,
        stdout=stderr,
        stderr=stderr,
        pass_fds=tuple(descriptors),
        close_fds=True,
        start_new_session=True,
        cwd="/",
    )


def confine(*, parent: int, memory_bytes: int | None) -> None:
    """Applied by the child to itself, first thing: limits that it cannot raise again.

    Args:
        parent: the supervisor's process id, 0 when a process namespace hides it.
        memory_bytes: limit of private memory (RLIMIT_DATA: heap and anonymous mappings; mapped
            files and CUDA's address reservations do not count).
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if parent and os.getppid() != parent:
        # it died between starting us and the line above
        os._exit(1)
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_FSIZE, _FILE_BYTES)
    _lower(resource.RLIMIT_NOFILE, _OPEN_FILES)
    if memory_bytes is not None:
        _lower(resource.RLIMIT_DATA, memory_bytes)


def die_with_parent(parent: int) -> None:
    """Asks the kernel to kill this process when the thread that started it ends."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def _lower(what: int, limit: int) -> None:
    _, hard = resource.getrlimit(what)
    if hard != resource.RLIM_INFINITY:
        limit = min(limit, hard)
    resource.setrlimit(what, (limit, limit))


def _visible(readable: Sequence[Path]) -> list[Path]:
    """Paths that a confined child must read: the system, Python, our code, the object cache."""
    wanted = [
        Path(p) for p in ("/usr", "/bin", "/sbin", "/lib", "/lib64", "/opt", "/etc/ld.so.cache")
    ]
    wanted += [Path(sys.prefix), Path(sys.base_prefix)]
    wanted += [Path(sysconfig.get_path("purelib")), Path(sysconfig.get_path("platlib"))]
    # our own sources, when installed in place
    root = Path(__file__).resolve().parent.parent
    wanted += [root / "workers", root / "service"]
    wanted += list(readable)
    return [path for path in dict.fromkeys(wanted) if path.exists()]


def _works(bubblewrap: str) -> bool:
    try:
        tried = subprocess.run(
            [bubblewrap, "--ro-bind", "/", "/", *_WRAPPED, "--", "/bin/true"],
            capture_output=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return tried.returncode == 0
