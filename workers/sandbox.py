"""How a child is started: what it may see, hold and use, and that it dies with its parent.

Owns the environment, the command line and the choice of a confinement. The supervisor calls
`start`; the child's first act is `confinement.applied.confine`, by the terms that are its first
argument. Knows nothing of frames or jobs.

The child's environment is made from nothing: no variable of the supervisor's passes unless it
is named here, so no credential can. What it may read is the system, Python, our code and its own
folder. Where bubblewrap works the child runs in it, with a process table and a file system of its
own; in any case it confines itself, by what the kernel has. `describe` tries what works here.
"""

from __future__ import annotations

import compileall
import functools
import os
import secrets
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Final

from workers.confinement import landlock, seccomp
from workers.confinement.identity import NOBODY
from workers.confinement.terms import Terms

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

#: Its own namespaces, and a file system that holds only what is bound into it.
_WRAPPED: Final = (
    "--die-with-parent",
    "--unshare-net",
    "--unshare-ipc",
    "--unshare-pid",
    "--unshare-uts",
    "--unshare-cgroup-try",
    "--dev",
    "/dev",
    "--proc",
    "/proc",
    "--dir",
    "/tmp",  # noqa: S108 (inside, and empty)
)
#: An ordinary user without a capability; outside still the supervisor's.
_AS_NOBODY: Final = (
    *("--unshare-user", "--uid", str(NOBODY), "--gid", str(NOBODY)),
    *("--cap-drop", "ALL"),
)
#: Root with what it takes to become a user of its own, which it does first thing.
_TO_CHANGE_USER: Final = (
    *("--cap-drop", "ALL", "--cap-add", "CAP_SETUID"),
    *("--cap-add", "CAP_SETGID", "--cap-add", "CAP_SETPCAP"),
)
#: Last, when all is in its place: what is left of the file system's memory is nobody's to fill.
_SEALED: Final = ("--remount-ro", "/dev", "--remount-ro", "/")

#: Of the system, what Python, torch and CUDA's libraries read.
_SYSTEM: Final = (
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib64",
    "/opt",
    "/etc/ld.so.cache",
    "/sys/devices/system",
)
#: Where there are devices: how they are attached, and their driver.
_SYSTEM_OF_DEVICES: Final = ("/sys",)
#: Beside these: what bubblewrap makes anew, and binding would put in its place.
_MADE: Final = (
    "/proc/self",
    "/proc/cpuinfo",
    "/proc/devices",
    "/proc/driver",
    "/proc/filesystems",
    "/proc/meminfo",
    "/proc/modules",
    "/proc/stat",
    "/proc/sys/vm",
    "/proc/version",
    "/dev/null",
    "/dev/random",
    "/dev/urandom",
    "/dev/zero",
)

#: Capabilities that a supervisor needs to give children users of their own: to kill them, and
#: to change their user.
_CAP_KILL: Final = 1 << 5
_CAP_SETGID: Final = 1 << 6
_CAP_SETUID: Final = 1 << 7

#: Above what distributions and container managers hand out, below 2^31; a child's user is one of
#: so many from here on, by chance.
FIRST_USER: Final = 1_900_000_000
_USERS: Final = 1 << 24

_TRIAL_SECONDS: Final = 60.0


@dataclass(frozen=True)
class Limits:
    """What one child may use. None means no limit of ours.

    Attributes:
        memory_bytes: private memory.
        cpu_seconds: processor time of each request, on every processor.
    """

    threads: int = 1
    memory_bytes: int | None = None
    cpu_seconds: float | None = None


@dataclass(frozen=True)
class Confinement:
    """How children are confined on this machine.

    Attributes:
        bubblewrap: the program's path; None without.
        first_user: children take user ids of their own from here on; None where they keep the
            supervisor's.
        namespace: each enters a user namespace of its own.
        own_root: each enters a file system that holds only what it may read.
        landlock: what it reads is limited by path.
        seccomp: its system calls are filtered.
    """

    bubblewrap: str | None = None
    first_user: int | None = None
    namespace: bool = False
    own_root: bool = False
    landlock: bool = False
    seccomp: bool = False

    @property
    def words(self) -> str:
        """For people: by what, and what is lacking."""
        means = [
            "bubblewrap" if self.bubblewrap else "",
            "a user of its own" if self.first_user is not None else "",
            "a user namespace" if self.namespace else "",
            "a file system of its own" if self.own_root else "",
            "Landlock" if self.landlock else "",
            "seccomp" if self.seccomp else "",
            "resource limits and an empty environment",
        ]
        text = ", ".join(word for word in means if word)
        return f"{text}; lacking: {'; '.join(self.lacking)}" if self.lacking else text

    @property
    def lacking(self) -> tuple[str, ...]:
        """What keeps this from being a boundary, one reason each; empty where nothing does."""
        found = []
        if not self.seccomp:
            found.append(
                "the network, other processes and programs are in a child's reach (this kernel or "
                "architecture has no usable seccomp)"
            )
        if not (self.bubblewrap or self.own_root or self.landlock):
            found.append(
                "a child can read what its user can, other projects' objects included (install "
                "bubblewrap, or run a kernel with Landlock, 5.13 or later)"
            )
        separate = self.bubblewrap is not None or self.namespace or self.first_user is not None
        if os.geteuid() == 0 and not separate:
            found.append(
                "a child is root (run workers as an ordinary user, or allow user namespaces)"
            )
        return tuple(found)


class ConfinementLacking(Exception):
    """Children cannot be confined as the settings require; the message says what to do."""


def describe(first_user: int = FIRST_USER, readable: Sequence[Path] = ()) -> Confinement:
    """The strongest confinement that works here. Each is tried: what is there may be unusable.

    Args:
        readable: what children must be able to read beside Python and our code.
    """
    return _found(first_user, os.geteuid(), shutil.which("bwrap"), tuple(readable))


def required(found: Confinement) -> Confinement:
    """The same. Raises ConfinementLacking where it is no boundary."""
    if found.lacking:
        raise ConfinementLacking(
            f"LOSSATLAS_CONFINEMENT=required, and this machine cannot: {'; '.join(found.lacking)}. "
            "Or set LOSSATLAS_CONFINEMENT=best-effort, if every caller is trusted with this machine"
        )
    return found


def environment(limits: Limits, outer: Mapping[str, str]) -> dict[str, str]:
    """A child's whole environment."""
    threads = str(limits.threads)
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": "/nonexistent",
        "LANG": "C.UTF-8",
        "TMPDIR": "/tmp",  # noqa: S108 (named for libraries that insist; nothing can be written)
        "OMP_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        "OPENBLAS_NUM_THREADS": threads,
        # torch makes this folder when its compiler is imported, used or not; so it is there already
        "TORCHINDUCTOR_CACHE_DIR": "/usr",
        # a result must not depend on what else the machine does
        "OMP_DYNAMIC": "FALSE",
        "MKL_DYNAMIC": "FALSE",
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
        **ALLOCATOR,
        **{name: outer[name] for name in _PASSED_ON if name in outer},
    }


def command(
    module: str,
    arguments: Sequence[str],
    *,
    limits: Limits,
    confinement: Confinement,
    readable: Sequence[Path],
    folder: Path | None = None,
) -> list[str]:
    """The command line of `python -I -m module TERMS …`, in bubblewrap where there is one."""
    devices = tuple(str(path) for path in sorted(Path("/dev").glob("nvidia*")))
    first = confinement.first_user
    visible = _visible(readable, folder, devices=bool(devices))
    terms = Terms(
        parent=0 if confinement.bubblewrap else os.getpid(),
        folder=None if folder is None else str(folder),
        memory_bytes=limits.memory_bytes,
        cpu_seconds=limits.cpu_seconds,
        threads=limits.threads,
        user=None if first is None else first + secrets.randbelow(_USERS),
        alone=confinement.bubblewrap is not None or confinement.namespace,
        namespace=confinement.namespace,
        readable=(*map(str, visible), *_MADE),
        devices=devices,
        own_root=confinement.own_root,
        landlock=confinement.landlock,
        filtered=confinement.seccomp,
    )
    # -B: it may not write, and need not try
    python = [sys.executable, "-I", "-B", *_entry(module), terms.argument(), *arguments]
    if confinement.bubblewrap is None:
        return python
    binds: list[str] = []
    for above in _above(visible):
        # open to the user that the child becomes, whatever the real one is
        binds += ["--perms", "0755", "--dir", str(above)]
    for path in visible:
        binds += ["--ro-bind", str(path), str(path)]
    for device in devices:
        binds += ["--dev-bind", device, device]
    identity = _AS_NOBODY if first is None else _TO_CHANGE_USER
    return [confinement.bubblewrap, *_WRAPPED, *identity, *binds, *_SEALED, "--", *python]


def start(
    module: str,
    arguments: Sequence[str],
    *,
    limits: Limits,
    descriptors: Sequence[int],
    stderr: IO[bytes],
    readable: Sequence[Path],
    confinement: Confinement,
    folder: Path | None = None,
) -> subprocess.Popen[bytes]:
    """Starts a confined Python module as the leader of its own process group.

    Call it from the main thread: the kernel kills the child when the *thread* that started it
    ends.

    Args:
        readable: what it may read beside the system, Python and our code.
        folder: its working folder, which it may read too.
    Raises:
        OSError: the process could not be started.
    """
    return subprocess.Popen(
        command(
            module,
            arguments,
            limits=limits,
            confinement=confinement,
            readable=readable,
            folder=folder,
        ),
        env=environment(limits, os.environ),
        stdin=subprocess.DEVNULL,
        stdout=stderr,
        stderr=stderr,
        pass_fds=tuple(descriptors),
        close_fds=True,
        start_new_session=True,
        cwd="/",
    )


def compile_sources() -> None:
    """Python's form of our sources, as far as it can be kept: children may write none."""
    root = Path(__file__).resolve().parent.parent
    for folder in (root / "workers", root / "service" / "domain", root / "service" / "programs"):
        compileall.compile_dir(folder, quiet=2)


@functools.cache
def _found(
    first_user: int, user: int, bubblewrap: str | None, readable: tuple[Path, ...]
) -> Confinement:
    reasons = []
    for candidate in _candidates(first_user, user, bubblewrap):
        reason = why_not(candidate, readable)
        if reason is None:
            return candidate
        reasons.append(reason)
    raise OSError(f"no child can be started here: {'; '.join(dict.fromkeys(reasons))}")


def _candidates(first_user: int, user: int, bubblewrap: str | None) -> Iterator[Confinement]:
    """From the strongest to none at all."""
    bare = Confinement()
    full = Confinement(landlock=landlock.version() > 0, seccomp=seccomp.available())
    for whole in dict.fromkeys((full, bare)):
        changing = user == 0 and _may_change_users()
        if bubblewrap is not None:
            if changing:
                yield replace(whole, bubblewrap=bubblewrap, first_user=first_user)
            yield replace(whole, bubblewrap=bubblewrap)
        if changing:
            owned = replace(whole, first_user=first_user)
            yield replace(owned, own_root=True, namespace=True)
            yield replace(owned, own_root=True)
            yield replace(owned, namespace=True)
            yield owned
        yield replace(whole, namespace=True)
        yield whole


def why_not(confinement: Confinement, readable: Sequence[Path] = ()) -> str | None:
    """Why a confinement does not work here, in a sentence; None where it does."""
    with tempfile.TemporaryDirectory() as name, tempfile.TemporaryFile() as said:
        folder = Path(name)
        folder.chmod(0o711)
        try:
            process = start(
                "workers.confinement.trial",
                [str(path) for path in readable],
                limits=Limits(),
                descriptors=(),
                stderr=said,
                readable=readable,
                confinement=confinement,
                folder=folder,
            )
        except OSError as error:
            return str(error)
        try:
            status = process.wait(_TRIAL_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return "it took too long"
        if status == 0:
            return None
        said.seek(0)
        last = said.read().decode(errors="replace").strip().rpartition("\n")[2]
        return last or f"exit status {status}"


def _may_change_users() -> bool:
    """Whether this process can give a child another user, and still kill it."""
    wanted = _CAP_KILL | _CAP_SETGID | _CAP_SETUID
    status = Path("/proc/self/status").read_text()
    effective = int(status.partition("CapEff:")[2].split()[0], 16)
    return effective & wanted == wanted


def _above(visible: Sequence[Path]) -> list[Path]:
    """The folders above what is visible that are not visible themselves, from the top down."""
    found = {above for path in visible for above in path.parents if above != Path("/")}
    return sorted(
        above
        for above in found
        if not any(above == path or path in above.parents for path in visible)
    )


def _entry(module: str) -> list[str]:
    """How Python is told what to run."""
    return ["-m", module]


def _visible(readable: Sequence[Path], folder: Path | None, *, devices: bool) -> list[Path]:
    """What a child must read: the system, Python, packages, our code, and what it is given."""
    system = (*_SYSTEM, *_SYSTEM_OF_DEVICES) if devices else _SYSTEM
    wanted = [Path(path) for path in system]
    wanted += [Path(sys.prefix), Path(sys.base_prefix)]
    wanted += [Path(sysconfig.get_path("purelib")), Path(sysconfig.get_path("platlib"))]
    # those of another environment that this one builds on
    wanted += [
        Path(entry) for entry in sys.path if Path(entry).name in ("site-packages", "dist-packages")
    ]
    # our own sources, when installed in place
    root = Path(__file__).resolve().parent.parent
    wanted += [root / "workers", root / "service"]
    wanted += list(readable)
    if folder is not None:
        wanted.append(folder)
    return [path for path in dict.fromkeys(wanted) if path.exists()]
