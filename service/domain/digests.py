"""Content digests and the canonical form of JSON that specs are digested in.

Two equal values have one canonical text, so a digest names a value and not the way it was typed.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from typing import Annotated, Any

from pydantic import StringConstraints

Digest = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def is_digest(text: str) -> bool:
    """Says whether `text` is `sha256:` and 64 lower-case hexadecimal digits."""
    return _DIGEST.fullmatch(text) is not None


def digest_bytes(data: bytes | memoryview) -> str:
    """The digest of bytes at hand."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def hex_of(digest: str) -> str:
    """The 64 hexadecimal digits. Raises ValueError when `digest` is not one."""
    if not is_digest(digest):
        raise ValueError(f"not a digest: {digest!r}; expected sha256:<64 lower-case hex digits>")
    return digest.removeprefix("sha256:")


def canonical_json(value: Any) -> str:
    """One text for one JSON value: sorted keys, no spaces, integral floats as integers.

    `-1`, `-1.0` and `-1e0` are the same axis bound to a user, so they digest alike.

    Raises:
        ValueError: NaN or infinity, which JSON cannot carry.
        TypeError: a value that is not JSON.
    """
    return json.dumps(_canonical(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def digest_json(value: Any) -> str:
    """The digest of a JSON value's canonical text."""
    return digest_bytes(canonical_json(value).encode())


def _canonical(value: Any) -> Any:
    if isinstance(value, bool) or value is None or isinstance(value, int | str):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{value!r} has no canonical JSON form")
        return int(value) if value.is_integer() and abs(value) < 2**53 else value
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"JSON object keys are strings, got {key!r}")
        return {key: _canonical(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_canonical(item) for item in value]
    raise TypeError(f"{type(value).__name__} is not JSON")
