"""The supervisor's end of a child: start it, send requests, read replies, kill it.

Owns the process, its pipes and its standard error; never blocks longer than asked, whatever
the child does. Does not know what requests mean. Imports no torch.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import subprocess
import tempfile
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

from workers import frames, sandbox
from workers.frames import Frame, FrameParser, ProtocolError
from workers.inputs import InputFolder
from workers.protocol import Ready
from workers.sandbox import Confinement, Limits

log = logging.getLogger(__name__)

_READ_BYTES: Final = 1 << 20
_STDERR_BYTES: Final = 8 << 10


#: What a process says, last of all, that could not have the memory it asked for.
_WANT_OF_MEMORY: Final = (
    "std::bad_alloc",
    "MemoryError",
    "can't allocate memory",
    "OutOfMemoryError",
)


class ChildDied(Exception):
    """The child ended, or wrote what is no frame and was killed. The text says how."""

    @property
    def for_want_of_memory(self) -> bool:
        """Whether its last words say so."""
        return any(words in str(self) for words in _WANT_OF_MEMORY)


class Child:
    """A confined process that warms itself up and then answers one request at a time."""

    def __init__(
        self,
        *,
        limits: Limits,
        readable: Sequence[Path],
        confinement: Confinement,
        inputs: Path | None = None,
    ) -> None:
        """Starts the process and returns at once.

        Args:
            readable: what it may read from the beginning.
            inputs: where its folder for what it is given later is made; None gives it none.
        Raises:
            OSError: that is impossible.
        """
        self._limits = limits
        self._inputs = None if inputs is None else InputFolder(inputs)
        self._stderr: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (closed by kill)
        request_read, self._write_fd = os.pipe()
        self._read_fd, reply_write = os.pipe()
        os.set_blocking(self._write_fd, False)
        os.set_blocking(self._read_fd, False)
        try:
            self._process: subprocess.Popen[bytes] = sandbox.start(
                "workers.child",
                [str(request_read), str(reply_write)],
                limits=limits,
                descriptors=(request_read, reply_write),
                stderr=self._stderr,
                readable=readable,
                confinement=confinement,
                folder=None if self._inputs is None else self._inputs.path,
            )
        except BaseException:
            if self._inputs is not None:
                self._inputs.close()
            os.close(self._write_fd)
            os.close(self._read_fd)
            self._stderr.close()
            raise
        finally:
            os.close(request_read)
            os.close(reply_write)
        self._parser = FrameParser()
        self._frames: deque[Frame] = deque()
        self._outgoing: deque[memoryview] = deque()
        self._closed = False
        self.ready = False

    @property
    def pid(self) -> int:
        return self._process.pid

    def give(self, file: Path) -> Path:
        """Lets it read a file; the path to tell it. For a child with a folder for that.

        Raises OSError.
        """
        if self._inputs is None:
            raise ValueError("this child has no folder to be given files by")
        return self._inputs.give(file)

    def send(self, frame: Frame) -> None:
        """Queues a request; `poll` writes it while it waits."""
        self._outgoing.extend(memoryview(piece).cast("B") for piece in frames.encode(frame))

    def poll(self, timeout: float) -> Frame | None:
        """The next reply, or None when `timeout` seconds pass without one.

        Raises:
            ChildDied: the child ended or broke the protocol; it is dead by then.
        """
        if self._closed:
            raise ChildDied("the child process is gone already")
        deadline = time.monotonic() + timeout
        while True:
            while self._frames:
                frame = self._frames.popleft()
                if frame.type != Ready.word:
                    return frame
                self.ready = True
            remaining = deadline - time.monotonic()
            if remaining <= 0 and timeout > 0:
                return None
            self._exchange(max(0.0, remaining))
            if not self._frames and deadline - time.monotonic() <= 0:
                return None

    def kill(self) -> None:
        """Kills the whole process group, reaps it and closes the pipes. Harmless twice."""
        if self._closed:
            return
        self._closed = True
        # not yet reaped, so the group's id cannot have been given to anybody else
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        os.close(self._write_fd)
        os.close(self._read_fd)
        self._stderr.close()
        if self._inputs is not None:
            self._inputs.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()

    def _exchange(self, timeout: float) -> None:
        """One wait: writes what can be written, reads what there is."""
        writing = [self._write_fd] if self._outgoing else []
        readable, writable, _ = select.select([self._read_fd], writing, [], timeout)
        if writable:
            self._write()
        if readable:
            self._read()

    def _write(self) -> None:
        while self._outgoing:
            try:
                written = os.write(self._write_fd, self._outgoing[0])
            except BlockingIOError:
                return
            except BrokenPipeError:
                # it may have replied before it died: reading says so, and then says how
                self._outgoing.clear()
                return
            if written < len(self._outgoing[0]):
                self._outgoing[0] = self._outgoing[0][written:]
            else:
                self._outgoing.popleft()

    def _read(self) -> None:
        try:
            data = os.read(self._read_fd, _READ_BYTES)
        except BlockingIOError:
            return
        if not data:
            raise ChildDied(self._death())
        try:
            self._frames.extend(self._parser.feed(data))
        except ProtocolError as error:
            self.kill()
            raise ChildDied(f"the child broke the protocol: {error}") from error

    def _death(self) -> str:
        """How it ended; kills what is left of the group."""
        try:
            # the pipe closes a moment before the process is gone
            status: int | None = self._process.wait(timeout=5.0)
        except subprocess.TimeoutExpired:
            status = None
        tail = self._stderr_tail()
        if tail:
            log.warning(
                "child %d ended with status %s; its standard error:\n%s", self.pid, status, tail
            )
        self.kill()
        return describe_death(status, tail, self._limits)

    def _stderr_tail(self) -> str:
        size = self._stderr.seek(0, os.SEEK_END)
        self._stderr.seek(max(0, size - _STDERR_BYTES))
        return self._stderr.read().decode(errors="replace").strip()


def describe_death(status: int | None, stderr: str, limits: Limits) -> str:
    """One sentence for a person: the signal or exit status, the last thing said, the limits."""
    if status is None:
        how = "closed its pipe without ending"
    elif status < 0 or status > 128:
        # bubblewrap says 128 + n for a child killed by signal n, as shells do
        status = status if status < 0 else 128 - status
        how = f"was killed by {_signal_name(-status)}"
    else:
        how = f"ended with exit status {status}"
    text = f"the child process {how}"
    last = next((line.strip() for line in reversed(stderr.splitlines()) if line.strip()), "")
    if last:
        text += f"; its last words: {last[:300]}"
    if limits.memory_bytes is not None and (status is None or status != 0):
        text += f"; its memory limit is {limits.memory_bytes / 2**20:.0f} MiB"
    if status == -signal.SIGKILL:
        text += "; the system kills so when memory runs out"
    return text


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
