"""JSON in and out: what callers attach to things, and specs as one text for equal values."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel

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


def plain_json(value: Any) -> Any:
    """A validated value as JSON, sets sorted: equal values give equal JSON in any process.

    (`model_dump` lists a set in the order of this process's hash seed.)
    """
    if isinstance(value, BaseModel):
        return {name: plain_json(getattr(value, name)) for name in type(value).model_fields}
    if isinstance(value, Enum):
        return plain_json(value.value)
    if isinstance(value, frozenset | set):
        return sorted(plain_json(item) for item in value)
    if isinstance(value, tuple | list):
        return [plain_json(item) for item in value]
    if isinstance(value, Mapping):
        return {key: plain_json(item) for key, item in value.items()}
    return value
