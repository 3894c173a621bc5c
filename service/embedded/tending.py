"""Keeps programs running: starts again what has ended, ever less eagerly.

Owns when; how each is started belongs to whoever registers it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from service.embedded.processes import Child, ProcessFailed
from service.embedded.servers import NotInstalled

log = logging.getLogger(__name__)

_FIRST_SECONDS: Final = 0.2
_LONGEST_SECONDS: Final = 15.0

#: Who has run so long is taken to work; the next end is a first one again.
_WORKING_SECONDS: Final = 30.0


@dataclass
class Tended:
    """One program that has to run.

    Attributes:
        start: starts it, over what the last one left.
        child: the present process.
        failures: ends in a row, each soon after a start.
        due: monotonic time of the next start; None while it runs.
    """

    name: str
    start: Callable[[], Child]
    child: Child
    failures: int = 0
    due: float | None = None

    def look(self, now: float) -> None:
        """Notices an end, and starts again when the time has come."""
        if self.due is None and self.child.ended():
            lived = self.child.seconds
            how = self.child.reap()
            self.failures = 1 if lived > _WORKING_SECONDS else self.failures + 1
            wait = self._wait()
            self.due = now + wait
            log.warning("%s ended (%s); it starts again in %.1f s", self.name, how, wait)
        elif self.due is not None and now >= self.due:
            self._restart(now)

    def _restart(self, now: float) -> None:
        try:
            self.child = self.start()
        except (OSError, ProcessFailed, NotInstalled) as error:
            self.failures += 1
            self.due = now + self._wait()
            log.warning("%s could not be started: %s", self.name, error)
        else:
            self.due = None
            log.info("%s runs again (process %d)", self.name, self.child.pid)

    def _wait(self) -> float:
        return min(_FIRST_SECONDS * 2.0 ** min(self.failures - 1, 16), _LONGEST_SECONDS)


def tend(everything: Sequence[Tended], pause: Callable[[float], None]) -> None:
    """Looks after all of them until `pause` raises."""
    while True:
        now = time.monotonic()
        for one in everything:
            one.look(now)
        dues = [one.due for one in everything if one.due is not None]
        # the end of a child wakes us; the minute is for what nobody can foresee
        pause(max(min(dues) - time.monotonic(), 0.0) if dues else 60.0)
