"""The children of one worker process: the one at work, and a spare that is already warm.

Owns which child serves which job and when it is replaced. A child serves one job; the spare is
started before it is needed, so that a small job does not wait for torch's import.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from workers.childprocess import Child, ChildDied
from workers.frames import Frame, ProtocolError
from workers.inputs import sweep
from workers.protocol import Done, Failed, Message, Open, Progress
from workers.sandbox import Confinement, Limits

log = logging.getLogger(__name__)

M = TypeVar("M", bound=Message)

_POLL_SECONDS: Final = 0.2


class UnitFailed(Exception):
    """A unit's work failed.

    Attributes:
        retry: another attempt may fare better.
        broken: the process, or its device, is of no further use.
    """

    def __init__(self, problem: dict[str, Any], *, retry: bool, broken: bool = False) -> None:
        super().__init__(problem.get("detail", ""))
        self.problem = problem
        self.retry = retry
        self.broken = broken


class NeverReady(Exception):
    """A child ended before it was warm: nothing that it was asked can have been the reason."""


class TimedOut(Exception):
    """A request took longer than its unit may take; the child was killed."""


@dataclass
class _Serving:
    child: Child
    job: str
    resources: contextlib.ExitStack
    opened: bool = False


class Runner:
    """Not for use by several threads: children die with the thread that started them."""

    def __init__(
        self,
        *,
        limits: Limits,
        readable: Sequence[Path],
        confinement: Confinement,
        inputs: Path | None = None,
    ) -> None:
        """`readable`: for every child; `inputs`: where folders for what each is given are made."""
        self._limits = limits
        self._readable = tuple(readable)
        self._confinement = confinement
        self._inputs = inputs
        if inputs is not None:
            sweep(inputs)
        self._serving: _Serving | None = None
        self._spare: Child | None = None

    @property
    def pid(self) -> int | None:
        """The process id of the child at work."""
        return None if self._serving is None else self._serving.child.pid

    def warm(self) -> None:
        """Starts a spare if there is none; returns at once."""
        if self._spare is None:
            self._spare = self._start()

    def await_spare(self, seconds: float) -> None:
        """Has a spare that is warm.

        Raises:
            ChildDied: it ended before it was.
            TimedOut: it took longer.
            OSError: no process can be started.
        """
        deadline = time.monotonic() + seconds
        self.warm()
        while self._spare is not None and not self._spare.ready:
            try:
                self._spare.poll(_POLL_SECONDS)
            except ChildDied:
                self._spare = None
                raise
            if time.monotonic() > deadline:
                spare, self._spare = self._spare, None
                spare.kill()
                raise TimedOut(f"longer than {seconds:g} seconds")

    def serves(self, job: str) -> bool:
        """Whether the child at work has this job open."""
        return self._serving is not None and self._serving.job == job and self._serving.opened

    def resources(self, job: str) -> contextlib.ExitStack:
        """What is to be released when the child of this job goes; takes a child for the job."""
        return self._for(job).resources

    def give(self, job: str, file: Path) -> Path:
        """Lets the job's child read a file; the path to tell it. Raises OSError."""
        return self._for(job).child.give(file)

    def open(self, job: str, request: Open, ask: Asking) -> None:
        """Opens a job in its child, once. Raises what `request` raises."""
        serving = self._for(job)
        if not serving.opened:
            self.request(job, request, Done.read, ask)
            serving.opened = True

    def request(
        self, job: str, request: Message, read: Callable[[Frame], M], ask: Asking
    ) -> tuple[M, tuple[bytes, ...]]:
        """Sends a request to the job's child; its answer with the blobs beside it.

        Args:
            read: the answer's reading, which raises ProtocolError for what is none.
        Raises:
            UnitFailed: the child says so.
            ChildDied: it ended without an answer, or with one that is none; it is replaced.
            NeverReady: it ended before it had so much as begun.
            TimedOut: `ask.seconds` passed.
            Whatever `ask.check` raises: the child is killed first.
        """
        serving = self._for(job)
        deadline = time.monotonic() + ask.seconds
        try:
            serving.child.send(request.frame())
            while True:
                ask.check()
                if time.monotonic() > deadline:
                    raise TimedOut(f"longer than {ask.seconds:g} seconds")
                frame = serving.child.poll(_POLL_SECONDS)
                if frame is None:
                    continue
                if frame.type == Progress.word:
                    ask.on_progress(Progress.read(frame).cells_done)
                elif frame.type == Failed.word:
                    failed = Failed.read(frame)
                    problem = failed.problem.to_problem().to_json()
                    raise UnitFailed(problem, retry=failed.retry, broken=failed.broken)
                else:
                    return read(frame), frame.blobs
        except UnitFailed as failure:
            if failure.retry:
                self.retire()
            raise
        except ChildDied as death:
            # what it was asked it had not read yet
            begun = serving.child.ready
            self.retire()
            if not begun:
                raise NeverReady(str(death)) from death
            raise
        except ProtocolError as error:
            self.retire()
            raise ChildDied(f"the child broke the protocol: {error}") from error
        except BaseException:
            # in the middle of a request, it is of no further use
            self.retire()
            raise

    def retire(self) -> None:
        """Kills the child at work, if any, and lets go of what it held."""
        if self._serving is not None:
            serving, self._serving = self._serving, None
            serving.child.kill()
            serving.resources.close()

    def close(self) -> None:
        """Kills every child."""
        self.retire()
        if self._spare is not None:
            spare, self._spare = self._spare, None
            spare.kill()

    def _for(self, job: str) -> _Serving:
        if self._serving is not None and self._serving.job != job:
            self.retire()
        if self._serving is None:
            self._serving = _Serving(self._warm_child(), job, contextlib.ExitStack())
        return self._serving

    def _warm_child(self) -> Child:
        """The spare if it still lives, else a new one; a spare that died is nobody's fault."""
        child, self._spare = self._spare, None
        if child is not None:
            try:
                child.poll(0.0)
            except ChildDied as death:
                log.warning("the spare child is gone: %s", death)
            else:
                return child
        return self._start()

    def _start(self) -> Child:
        return Child(
            limits=self._limits,
            readable=self._readable,
            confinement=self._confinement,
            inputs=self._inputs,
        )


@dataclass(frozen=True)
class Asking:
    """How a request is waited for.

    Attributes:
        seconds: the time limit.
        check: called several times a second; raises to give up.
        on_progress: told how many cells are done.
    """

    seconds: float
    check: Callable[[], None]
    on_progress: Callable[[int], None] = lambda _cells: None
