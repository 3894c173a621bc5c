"""Identifiers: a prefix that names the kind, then 26 characters that sort by creation time.

Owns the shape of ids and their validation. Reads no clock: the caller passes the time.
"""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import StringConstraints

from service.domain.printable import Printable

#: Crockford's base 32, lower case: no i, l, o, u, so that an id survives being read aloud.
_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
_BODY: Final = r"[0-9a-hjkmnp-tv-z]{26}"

KINDS: Final = {
    "mdl": "model",
    "ckp": "checkpoint",
    "dst": "dataset",
    "dir": "direction",
    "job": "job",
    "unt": "unit",
    "lsc": "landscape",
    "chk": "check",
    "key": "API key",
    "upl": "upload",
    "req": "request",
    "ses": "session",
    "psn": "person",
    "tru": "trust",
    "shr": "share",
}


def make_id(kind: str, *, unix_milliseconds: int, randomness: bytes) -> str:
    """Builds an id such as `job_01k…` from a time and at least ten random bytes.

    Raises:
        ValueError: unknown kind, time out of 48 bits, or too little randomness.
    """
    if kind not in KINDS:
        raise ValueError(f"unknown id kind {kind!r}; known: {', '.join(sorted(KINDS))}")
    if not 0 <= unix_milliseconds < 1 << 48:
        raise ValueError(f"time {unix_milliseconds} does not fit 48 bits of milliseconds")
    if len(randomness) < 10:
        raise ValueError(f"an id needs 10 random bytes, got {len(randomness)}")
    number = (unix_milliseconds << 80) | int.from_bytes(randomness[:10], "big")
    characters = [_ALPHABET[(number >> shift) & 31] for shift in range(125, -5, -5)]
    return f"{kind}_{''.join(characters)}"


def unix_milliseconds_of(identity: str) -> int:
    """When the id was made, as `make_id` was told.

    Raises:
        ValueError: not an id.
    """
    if not any(is_id(kind, identity) for kind in KINDS):
        raise ValueError(f"not an id: {identity!r}")
    number = 0
    # the first ten characters hold the time, two bits above it and nothing else
    for character in identity.partition("_")[2][:10]:
        number = number << 5 | _ALPHABET.index(character)
    return number


def is_id(kind: str, text: str) -> bool:
    """Says whether `text` has the exact shape of an id of this kind."""
    return re.fullmatch(rf"{kind}_{_BODY}", text) is not None


def _pattern(kind: str) -> StringConstraints:
    return StringConstraints(pattern=rf"^{kind}_{_BODY}$")


ModelId = Annotated[str, _pattern("mdl")]
CheckpointId = Annotated[str, _pattern("ckp")]
DatasetId = Annotated[str, _pattern("dst")]
DirectionId = Annotated[str, _pattern("dir")]
JobId = Annotated[str, _pattern("job")]
LandscapeId = Annotated[str, _pattern("lsc")]
CheckId = Annotated[str, _pattern("chk")]
KeyId = Annotated[str, _pattern("key")]
UploadId = Annotated[str, _pattern("upl")]
TrustId = Annotated[str, _pattern("tru")]
ShareId = Annotated[str, _pattern("shr")]

#: Names that people choose and that appear in addresses and figures.
ProjectName = Annotated[
    str, StringConstraints(pattern=r"^[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?$", strict=True)
]
#: Of an alias within its project; shown as `vision/prod`.
AliasName = Annotated[
    str, StringConstraints(pattern=r"^[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?$", strict=True)
]
DisplayName = Annotated[
    str,
    StringConstraints(
        min_length=1, max_length=200, strip_whitespace=True, pattern=r"^[^\x00-\x1f\x7f]+$"
    ),
    Printable,
]
Tag = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/+-]{0,63}$")]
