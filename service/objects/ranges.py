"""`Range` and `If-Range` (RFC 9110, section 14): which bytes of an object are asked for. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

from service.domain.problems import Problem

_ONE = re.compile(r"bytes\s*=\s*(?:(\d{1,19})\s*-\s*(\d{1,19})?|-\s*(\d{1,19}))", re.IGNORECASE)


def asked(headers: Mapping[str, str], size: int, tag: str) -> tuple[int, int] | None:
    """The half-open range to send; None for the whole object.

    Several ranges at once, other units and what cannot be read are no range, as the standard
    allows; so is a range under an `If-Range` that does not hold.

    Args:
        tag: the object's strong entity tag, without quotes.

    Raises:
        Problem: `range_not_satisfiable` for a range that begins behind the end.
    """
    field = headers.get("range")
    if field is None:
        return None
    condition = headers.get("if-range")
    # compared strongly: a weak tag, or a date, never holds
    if condition is not None and condition.strip() != f'"{tag}"':
        return None
    match = _ONE.fullmatch(field.strip())
    if match is None:
        return None
    first, last, suffix = match.groups()
    if suffix is not None:
        start, stop = max(size - int(suffix), 0), size
    else:
        start = int(first)
        stop = size if last is None else min(int(last) + 1, size)
        if last is not None and int(last) < start:
            return None
    if start >= stop:
        raise Problem(
            "range_not_satisfiable",
            f"the object has {size} bytes, and the range {field[:80]!r} has none of them",
            headers={"Content-Range": f"bytes */{size}"},
        )
    return start, stop
