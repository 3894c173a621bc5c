"""Keyset paging: a cursor names the last row seen, so that new rows never shift a page."""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from service.domain.problems import Problem
from service.ledger.records import Page

DEFAULT_LIMIT: Final = 50
MOST: Final = 200
#: The database has integers of 64 bits.
_INTEGERS: Final = 1 << 63

T = TypeVar("T")


def encode(*key: Any) -> str:
    """A cursor that names a row by its sort key."""
    text = json.dumps(key, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode(cursor: str, *types: type | tuple[type, ...]) -> tuple[Any, ...]:
    """The sort key in a cursor.

    Raises:
        Problem: `invalid_request` for anything that `encode` did not make with these types.
    """
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        key = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (ValueError, binascii.Error, RecursionError):
        raise _foreign() from None
    if (
        not isinstance(key, list)
        or len(key) != len(types)
        or not all(_is_key(part, kind) for part, kind in zip(key, types, strict=True))
    ):
        raise _foreign()
    return tuple(key)


def _is_key(part: Any, kind: type | tuple[type, ...]) -> bool:
    """Whether a part has its type, and a value that the database can hold."""
    if not isinstance(part, kind) or isinstance(part, bool):
        return False
    if isinstance(part, str):
        return "\0" not in part and not any("\ud800" <= sign <= "\udfff" for sign in part)
    if isinstance(part, int):
        return -_INTEGERS <= part < _INTEGERS
    return not isinstance(part, float) or math.isfinite(part)


def cut(rows: Sequence[T], limit: int, key: Callable[[T], tuple[Any, ...]]) -> Page[T]:
    """The page out of `limit + 1` rows: the one too many only tells that there is more."""
    items = list(rows[:limit])
    more = len(rows) > limit
    return Page(items, encode(*key(items[-1])) if more else None)


def bounded(limit: int) -> int:
    """`limit`, if it is one. Raises Problem `invalid_request` outside 1…200."""
    if not 1 <= limit <= MOST:
        raise Problem(
            "invalid_request", f"limit must be from 1 to {MOST}, got {limit}", pointer="/limit"
        )
    return limit


def _foreign() -> Problem:
    return Problem(
        "invalid_request",
        "this cursor was not given by this list; leave it out to start at the beginning",
        pointer="/cursor",
    )
