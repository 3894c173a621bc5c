"""New ids, from this process's clock and the system's randomness: no two are ever alike.

Ids that one process makes grow, also within a millisecond, so that newest first means what it says.
"""

from __future__ import annotations

import secrets
import threading
import time
from typing import Final

from service.domain.ids import make_id

_RANDOM_BITS: Final = 80
#: A step leaves plenty of room above it and cannot be foretold.
_STEP_BITS: Final = 64
_LOCK: Final = threading.Lock()
_last: tuple[int, int] = (0, 0)


def new_id(kind: str) -> str:
    """An id of the given kind (`mdl`, `job`, …), larger than every one made here before."""
    global _last  # noqa: PLW0603 (one order for the whole process)
    with _LOCK:
        moment, number = time.time_ns() // 1_000_000, secrets.randbits(_RANDOM_BITS)
        before, used = _last
        if moment <= before:
            moment, number = before, used + 1 + secrets.randbits(_STEP_BITS)
            if number >> _RANDOM_BITS:
                moment, number = before + 1, secrets.randbits(_RANDOM_BITS)
        _last = (moment, number)
    return make_id(
        kind, unix_milliseconds=moment, randomness=number.to_bytes(_RANDOM_BITS // 8, "big")
    )
