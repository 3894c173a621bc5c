"""Waiting on signals: the end of a child wakes the stack up, Ctrl-C and SIGTERM end it.

Owns which signals mean what. They are blocked and asked for, never handled in the middle of
something, so that no child can be started and forgotten between two lines.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_STOP: Final = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
_WAKE: Final = frozenset({signal.SIGCHLD})


class Stopped(Exception):
    """Somebody asked the stack to stop."""


class Signals:
    """What has come in so far. For the main thread."""

    def __init__(self) -> None:
        self.stop_asked = False

    def pause(self, seconds: float) -> None:
        """Waits, less long when a child ends. Raises Stopped once the stack must stop."""
        self.rest(seconds)
        if self.stop_asked:
            raise Stopped

    def rest(self, seconds: float) -> None:
        """Waits, less long when a child ends or a signal comes."""
        got = signal.sigtimedwait(_STOP | _WAKE, seconds)
        if got is not None and got.si_signo in _STOP:
            self.stop_asked = True


@contextmanager
def blocked() -> Iterator[Signals]:
    """Blocks them; those that come late are dropped, for what they ask has been done."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _STOP | _WAKE)
    signals = Signals()
    try:
        yield signals
    finally:
        while signal.sigtimedwait(_STOP | _WAKE, 0) is not None:
            continue
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
