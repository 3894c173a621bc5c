"""Child processes: started with a log of their own, asked to stop, and never left behind.

Owns one child's life. Every child leads a process group, runs through `attend` so that it dies
with this process, and writes to a log file. Start children from the main thread: the kernel
takes the end of the *thread* that started a child for the end of its parent.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

_ATTEND: Final = str(Path(__file__).with_name("attend.py"))

#: A log larger than this begins anew when its program starts; one older log is kept.
_LOG_BYTES: Final = 16 << 20

_POLL_SECONDS: Final = 0.02
#: Of a log, what is told of a program that failed.
_TAIL_BYTES: Final = 2000

#: How long a killed process may take to be gone before that is somebody else's problem.
_REAP_SECONDS: Final = 5.0

Pause = Callable[[float], None]
"""Waits so many seconds, or less when something happened; may raise to interrupt."""


class ProcessFailed(Exception):
    """A child ended, or did not become ready; the message says which and shows its log's end."""


@dataclass(frozen=True)
class Program:
    """What to run and how.

    Attributes:
        name: shown to people, and the log's name.
        arguments: the program's absolute path and its arguments.
        log: file that receives standard output and standard error.
        environment: added to this process's; a None takes the variable away.
        stop_signal: asks it to stop.
        death_signal: what the kernel sends when this process is gone.
        attend: options of `attend` for giving up root.
    """

    name: str
    arguments: Sequence[str]
    log: Path
    environment: Mapping[str, str | None] = field(default_factory=dict)
    folder: Path | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    death_signal: signal.Signals = signal.SIGKILL
    attend: Sequence[str] = ()


class Child:
    """One running program."""

    def __init__(self, program: Program) -> None:
        """Starts it. Raises OSError when that is impossible."""
        self.program = program
        self.started = time.monotonic()
        with _open_log(program.log) as log:
            self._log_start = log.tell()
            self._process = subprocess.Popen(
                _attended(program),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=program.folder,
                env=environment(program.environment),
                start_new_session=True,
                umask=0o077,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def seconds(self) -> float:
        """How long it has been running."""
        return time.monotonic() - self.started

    def ended(self) -> bool:
        """Whether it is gone or a zombie; does not reap, so that its number stays its own."""
        if self._process.returncode is not None:
            return True
        flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self.pid, flags) is not None

    def require_running(self) -> None:
        """Raises ProcessFailed, with the end of the log, when it has ended."""
        if self.ended():
            raise ProcessFailed(f"{self.program.name} ended ({self.reap()}){self.tail()}")

    def ask_to_stop(self) -> None:
        """Sends the stop signal to the program itself; its own children are its affair."""
        if not self.ended():
            self._process.send_signal(self.program.stop_signal)

    def reap(self) -> str:
        """Kills what is left of its group and collects it; how it ended, in words."""
        if self._process.returncode is None:
            # before it is collected: afterwards its number may be another group's
            _kill_group(self.pid)
            try:
                self._process.wait(_REAP_SECONDS)
            except subprocess.TimeoutExpired:
                return f"process {self.pid} could not be killed"
        code = self._process.returncode
        if code is None or code >= 0:
            return f"exit code {code}"
        return f"killed by {signal.Signals(-code).name}"

    def tail(self) -> str:
        """The end of what this run has written, on lines of its own; empty if there is none."""
        with self.program.log.open("rb") as log:
            end = log.seek(0, os.SEEK_END)
            log.seek(max(min(self._log_start, end), end - _TAIL_BYTES))
            text = log.read().decode(errors="replace").strip()
        return f"; the end of {self.program.log}:\n{text}" if text else ""


def stop(children: Sequence[Child], seconds: float, pause: Pause = time.sleep) -> list[str]:
    """Asks all of them to stop and kills those that have not after `seconds`.

    Returns:
        The names of those that had to be killed.
    """
    for child in children:
        child.ask_to_stop()
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not all(child.ended() for child in children):
        pause(_POLL_SECONDS)
    killed = [child.program.name for child in children if not child.ended()]
    for child in children:
        child.reap()
    return killed


def wait_until(
    ready: Callable[[], bool], *, what: str, seconds: float, pause: Pause = time.sleep
) -> None:
    """Asks again and again. Raises ProcessFailed after `seconds`."""
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            raise ProcessFailed(f"{what} was not ready within {seconds:.0f} s")
        pause(_POLL_SECONDS)


def run(program: Program, seconds: float) -> None:
    """Runs to the end. Raises ProcessFailed unless it exits 0 within `seconds`."""
    child = Child(program)
    try:
        wait_until(child.ended, what=program.name, seconds=seconds)
    finally:
        how = child.reap()
    if how != "exit code 0":
        raise ProcessFailed(f"{program.name} failed ({how}){child.tail()}")


def end_leftovers(folder: Path) -> None:
    """Ends what an earlier server of this folder left running in it.

    The caller holds the data folder's lock, so whoever works in the folder is left over; a
    server that started beside it would ruin the data. Killed parents take their children with
    them, but not in no time.

    Raises:
        ProcessFailed: they cannot be ended.
    """
    deadline = time.monotonic() + _REAP_SECONDS
    while left := _working_in(folder):
        if time.monotonic() > deadline:
            raise ProcessFailed(f"processes {left} still work in {folder}; end them first")
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(_POLL_SECONDS)


def environment(added: Mapping[str, str | None]) -> dict[str, str]:
    """This process's environment with changes."""
    whole: dict[str, str | None] = {**os.environ, **added}
    return {name: value for name, value in whole.items() if value is not None}


def _attended(program: Program) -> list[str]:
    return [
        # -I -S: whatever lies in the folder or the environment has no say in it
        sys.executable,
        "-I",
        "-S",
        _ATTEND,
        f"--parent={os.getpid()}",
        f"--death-signal={int(program.death_signal)}",
        *program.attend,
        "--",
        *program.arguments,
    ]


def _open_log(path: Path) -> BinaryIO:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > _LOG_BYTES:
        path.replace(path.with_suffix(path.suffix + ".1"))
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    log = os.fdopen(descriptor, "ab")
    log.seek(0, os.SEEK_END)
    return log


def _kill_group(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        # empty but for the zombie, or of a user that is no longer ours to kill
        return


def _working_in(folder: Path) -> list[int]:
    """Processes whose working folder this is; a zombie has none."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if (entry / "cwd").readlink() == folder:
                    found.append(int(entry.name))
            except OSError:
                # gone, or another user's
                continue
    return found
