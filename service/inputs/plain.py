"""JSON that callers attach to things: kept as it came, but only what the database can keep."""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import AfterValidator

from service.domain.digests import canonical_json

MAX_BYTES: Final = 64 * 1024


def _storable(value: dict[str, Any]) -> dict[str, Any]:
    try:
        text = canonical_json(value)
        encoded = text.encode()
    except RecursionError:
        raise ValueError("is nested too deeply; flatten it") from None
    except UnicodeEncodeError:
        raise ValueError("holds half of a surrogate pair; send valid Unicode") from None
    if "\\u0000" in text:
        raise ValueError("holds a NUL character, which the database cannot keep; remove it")
    if len(encoded) > MAX_BYTES:
        raise ValueError(f"is {len(encoded)} bytes as JSON; at most {MAX_BYTES} are kept")
    return value


#: An object of JSON values: finite numbers, valid Unicode without NUL, at most 64 KiB.
PlainObject = Annotated[dict[str, Any], AfterValidator(_storable)]
