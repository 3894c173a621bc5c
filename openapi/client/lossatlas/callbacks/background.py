"""One thread that does work in order, behind a queue that never makes the caller wait.

Knows nothing of checkpoints. The newest work is always kept: in a full queue it takes the place of
the newest before it, which is dropped.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, TypeVar

W = TypeVar("W")


class Background(Generic[W]):
    """Work in the background.

    Args:
        do: does one piece of work, in the thread.
        failed: hears what `do` raised, in the thread.
        capacity: how many pieces wait at most, beside the one being done.
    """

    def __init__(
        self, do: Callable[[W], None], failed: Callable[[Exception], None], *, capacity: int
    ) -> None:
        self._do = do
        self._failed = failed
        self._capacity = capacity
        self._waiting: deque[W] = deque()
        self._busy = False
        self._closed = False
        self._change = threading.Condition()
        # a daemon: a server that never answers must not keep the process from ending
        self._thread = threading.Thread(target=self._work, name="lossatlas-uploads", daemon=True)
        self._thread.start()

    @property
    def full(self) -> bool:
        """Whether the next piece of work drops one."""
        with self._change:
            return len(self._waiting) >= self._capacity

    def put(self, work: W) -> bool:
        """Queues work; False when that dropped another. Never waits."""
        with self._change:
            dropped = len(self._waiting) >= self._capacity
            if dropped:
                self._waiting.pop()
            self._waiting.append(work)
            self._change.notify_all()
        return not dropped

    def make_room(self) -> None:
        """Waits until the queue is not full."""
        with self._change:
            self._change.wait_for(lambda: len(self._waiting) < self._capacity)

    def close(self, seconds: float) -> int:
        """Takes no more, and waits so long for what is queued; how many pieces were not done."""
        deadline = time.monotonic() + seconds
        with self._change:
            self._closed = True
            self._change.notify_all()
            self._change.wait_for(
                lambda: not self._waiting and not self._busy, max(0.0, deadline - time.monotonic())
            )
            left = len(self._waiting) + self._busy
            self._waiting.clear()
        return left

    def _work(self) -> None:
        while True:
            with self._change:
                self._change.wait_for(lambda: self._waiting or self._closed)
                if not self._waiting:
                    return
                work: Any = self._waiting.popleft()
                self._busy = True
                self._change.notify_all()
            try:
                self._do(work)
            except Exception as error:  # noqa: BLE001 - told; the training goes on
                self._failed(error)
            finally:
                # its memory is free before the next piece is taken
                del work
                with self._change:
                    self._busy = False
                    self._change.notify_all()
