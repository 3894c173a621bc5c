"""Waiting on signals: the end of a child wakes the stack up, Ctrl-C and SIGTERM end it.

Owns which signals mean what. They are noted and asked for, never acted upon in the middle of
something, so that no child can be started and forgotten between two lines.
"""

from __future__ import annotations

import select
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

_STOP: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Stopped(Exception):
    """Somebody asked the stack to stop."""


class Signals:
    """What has come in so far. For the main thread."""

    def __init__(self, woken: socket.socket) -> None:
        self._woken = woken
        self.stop_asked = False

    def pause(self, seconds: float) -> None:
        """Waits, less long when a child ends. Raises Stopped once the stack must stop."""
        if not self.stop_asked:
            self.rest(seconds)
        if self.stop_asked:
            raise Stopped

    def rest(self, seconds: float) -> None:
        """Waits, less long when a child ends or a signal comes."""
        ready, _, _ = select.select([self._woken], [], [], seconds)
        if ready:
            self._woken.recv(4096)

    def note(self, number: int, _frame: FrameType | None) -> None:
        """The handler of every signal."""
        if number in _STOP:
            self.stop_asked = True


@contextmanager
def noted() -> Iterator[Signals]:
    """Takes the signals over, and gives them back as they were."""
    # blocking them instead would not do: numerical libraries start threads when they are
    # imported, and a signal goes to any thread that does not block it
    waking, woken = socket.socketpair()
    waking.setblocking(False)
    woken.setblocking(False)
    signals = Signals(woken)
    before = {number: signal.signal(number, signals.note) for number in (*_STOP, signal.SIGCHLD)}
    wakeup = signal.set_wakeup_fd(waking.fileno(), warn_on_full_buffer=False)
    try:
        yield signals
    finally:
        signal.set_wakeup_fd(wakeup)
        for number, handler in before.items():
            signal.signal(number, handler)
        waking.close()
        woken.close()
