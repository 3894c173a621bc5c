"""A connection whose server may fall silent: every wait for it ends.

Owns the client's own time limit. A server's `statement_timeout` says nothing when the server itself
is frozen, and the kernel goes on acknowledging for it, so that neither keepalives nor
`tcp_user_timeout` see anything.
"""

from __future__ import annotations

import time
from typing import Any, Self, TypeVar

import psycopg
from psycopg.abc import PQGen

RV = TypeVar("RV")


class PatientConnection(psycopg.Connection[Any]):
    """Waits for an answer at most `answer_seconds`; then it is closed and of no further use."""

    answer_seconds = 65.0

    @classmethod
    def within(cls, seconds: float, *args: Any, **options: Any) -> Self:
        """As `connect`, with a limit of its own."""
        made = cls.connect(*args, **options)
        made.answer_seconds = seconds
        return made

    def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:
        """Raises OperationalError when the server does not answer in time."""
        if timeout is not None:
            return super().wait(gen, interval=interval, timeout=timeout)
        began = time.monotonic()
        try:
            return super().wait(gen, interval=interval, timeout=self.answer_seconds)
        except psycopg.OperationalError:
            if time.monotonic() - began >= self.answer_seconds:
                # in the middle of an answer: whatever comes now belongs to what was asked before
                self.close()
            raise
