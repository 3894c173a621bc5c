"""Mints ids: the only reader of the clock and of randomness for them."""

from __future__ import annotations

import os
import time

from service.domain.ids import make_id


def new_id(kind: str) -> str:
    """A new id such as `job_01k…`. Raises ValueError for an unknown kind."""
    return make_id(kind, unix_milliseconds=time.time_ns() // 1_000_000, randomness=os.urandom(10))
