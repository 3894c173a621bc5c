"""One byte shared by a worker's processes that says: take no new work.

Owns the flag. It is made before the pool forks, set by the main process when it is told to stop,
and read by pool processes between and during units. A byte of shared memory and no lock: a
process killed while it looks at the flag cannot block the one that sets it.
"""

from __future__ import annotations

import mmap
import time
from typing import Final

_LOOK_SECONDS: Final = 0.2


class ShutdownFlag:
    """Set once by any process, seen by all that were forked after it was made."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, 1)
        self._seen_at: float | None = None

    def set(self) -> None:
        self._memory[0] = 1

    def is_set(self) -> bool:
        if not self._memory[0]:
            return False
        if self._seen_at is None:
            self._seen_at = time.monotonic()
        return True

    def wait(self, seconds: float) -> bool:
        """Waits until the flag is set, at most so long; whether it is set."""
        until = time.monotonic() + seconds
        while not self.is_set():
            left = until - time.monotonic()
            if left <= 0:
                return False
            # another process sets it, and a byte of memory wakes nobody
            time.sleep(min(left, _LOOK_SECONDS))
        return True

    def past(self, seconds: float) -> bool:
        """Whether `seconds` have passed since this process first saw the flag set."""
        return self.is_set() and time.monotonic() - (self._seen_at or 0.0) >= seconds
