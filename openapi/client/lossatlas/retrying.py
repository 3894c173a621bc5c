"""When to try again, and how long to wait. Pure but for the random part of a wait.

A refused request is repeated only when the service says that it can help; a broken connection
only when repeating cannot do the thing twice.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

_FIRST_SECONDS: Final = 0.25
_LONGEST_SECONDS: Final = 8.0


@dataclass
class Patience:
    """How much longer one call may be tried: a deadline, and how often it failed so far."""

    seconds: float
    failures: int = 0
    began: float = field(default_factory=time.monotonic)

    def next_wait(self, retry_after: float | None = None) -> float | None:
        """Seconds until the next try; None when patience is over.

        Exponential with jitter, or what the service asked for. A service that asks for more than
        is left is not asked again.
        """
        left = self.began + self.seconds - time.monotonic()
        if left <= 0:
            return None
        wait: float = min(_LONGEST_SECONDS, _FIRST_SECONDS * 2.0**self.failures)
        wait *= random.uniform(0.5, 1.0)  # noqa: S311 - spreads callers, guards nothing
        if retry_after is not None and retry_after > left:
            return None
        self.failures += 1
        return min(max(wait, retry_after or 0.0), left)


def retry_after_seconds(header: str | None) -> float | None:
    """The seconds of a `Retry-After`, given as a number or as a date; None when unreadable."""
    if not header:
        return None
    text = header.strip()
    if text.isdecimal():
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())
