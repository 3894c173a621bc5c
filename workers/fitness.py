"""Whether this worker can work at all: room for files, memory, a child that starts, its servers.

Owns the look at itself before every claim, the thorough one after a fault, and the wait until it
passes. What is wrong here is the worker's own: it takes no unit, charges none, and says why.
Never imports torch.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable
from typing import Final

from service.domain.problems import Problem
from workers.cache import ObjectCache
from workers.childprocess import ChildDied
from workers.confinement.memory import available_bytes
from workers.runner import Runner, TimedOut
from workers.shutdown import ShutdownFlag

log = logging.getLogger(__name__)

#: Below this much memory that is free or can be, the next child is the system's to kill.
_LEAST_MEMORY_BYTES: Final = 128 << 20
_CHILD_SECONDS: Final = 120.0
_FIRST_PAUSE_SECONDS: Final = 1.0
_LONGEST_PAUSE_SECONDS: Final = 15.0


class WorkerFault(Exception):
    """Something is wrong with this worker or with a server it needs, not with the unit in hand."""


class Fitness:
    """What one worker process knows of its own state."""

    def __init__(
        self,
        *,
        cache: ObjectCache,
        runner: Runner,
        ping: Callable[[], None],
        room_bytes: int,
    ) -> None:
        """
        Args:
            ping: raises Problem while the object store cannot be used.
            room_bytes: free space that the cache's folder must have, or be given by eviction.
        """
        self._cache = cache
        self._runner = runner
        self._ping = ping
        self._room_bytes = room_bytes
        self._doubtful = False

    def doubt(self) -> None:
        """Something went wrong: the next look is a thorough one."""
        self._doubtful = True

    def fault(self) -> str | None:
        """What keeps this worker from working, if anything; a sentence for whoever runs it."""
        found = self._scratch() or self._memory()
        if found is None and self._doubtful:
            found = self._store() or self._child()
        self._doubtful = found is not None
        return found

    def await_fit(self, shutdown: ShutdownFlag) -> bool:
        """Returns True once nothing is wrong, and False when told to stop by then."""
        pause, told = _FIRST_PAUSE_SECONDS, ""
        while (fault := self.fault()) is not None:
            # every time it changes, and again after each of the long pauses
            if fault != told or pause >= _LONGEST_PAUSE_SECONDS:
                log.error("this worker takes no work: %s", fault)
                told = fault
            if shutdown.wait(pause):
                return False
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
        if told:
            log.info("this worker is well again")
        return not shutdown.is_set()

    def _scratch(self) -> str | None:
        folder = self._cache.folder
        try:
            free = self._cache.make_room(self._room_bytes)
            # room on paper is not enough: the file system may be read-only, or out of inodes
            with tempfile.TemporaryFile(dir=folder, prefix=".room-") as file:
                file.write(bytes(1 << 12))
        except OSError as error:
            return f"its folder {folder} cannot be written ({error.strerror or error})"
        if free < self._room_bytes:
            return (
                f"its folder {folder} has {free >> 20} MiB of room, and {self._room_bytes >> 20} "
                "are needed; make room or set LOSSATLAS_SCRATCH_BYTES"
            )
        return None

    @staticmethod
    def _memory() -> str | None:
        try:
            available = available_bytes()
        except OSError:
            return None  # a system that does not say
        if available >= _LEAST_MEMORY_BYTES:
            return None
        return f"this machine has {available >> 20} MiB of memory left"

    def _store(self) -> str | None:
        try:
            self._ping()
        except Problem as problem:
            return problem.detail
        return None

    def _child(self) -> str | None:
        try:
            self._runner.await_spare(_CHILD_SECONDS)
        except (ChildDied, TimedOut, OSError) as error:
            return f"a child process cannot start: {error}"
        return None
