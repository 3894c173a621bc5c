"""Addresses that do one thing without credentials, by AWS's signature 4 over query and headers.

Owns the signature, makes no request. The SDK's own signs the host alone, so that whoever has the
address of a part could send any number of bytes to it; here the length is signed as well, and the
server refuses every other (AWS, "Authenticating Requests: Using Query Parameters").
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import reduce
from typing import Final
from urllib.parse import parse_qsl, quote, urlsplit, urlunsplit

_ALGORITHM: Final = "AWS4-HMAC-SHA256"
_SERVICE: Final = "s3"
#: As S3 has it.
LONGEST_SECONDS: Final = 7 * 86_400


@dataclass(frozen=True)
class Credentials:
    """Whose signature it is, and where."""

    access_key: str
    secret_key: str = field(repr=False)
    region: str


def presign(
    method: str,
    url: str,
    *,
    by: Credentials,
    at: datetime,
    seconds: int,
    headers: Mapping[str, str] | None = None,
) -> str:
    """The address with a signature in its query.

    Args:
        url: as it will be called, percent-encoded; what is in its query is signed.
        at: the moment, in UTC, from which on it holds.
        seconds: until it expires.
        headers: what a request must bring unchanged, beside `Host`.

    Raises:
        ValueError: `seconds` is outside one second to seven days.
    """
    if not 1 <= seconds <= LONGEST_SECONDS:
        raise ValueError(f"{seconds} seconds are outside 1 to {LONGEST_SECONDS}")
    parts = urlsplit(url)
    day, moment = f"{at:%Y%m%d}", f"{at:%Y%m%dT%H%M%SZ}"
    scope = (day, by.region, _SERVICE, "aws4_request")
    signed = {"host": parts.netloc, **{k.lower(): v for k, v in (headers or {}).items()}}
    names = ";".join(sorted(signed))
    query = {
        **dict(parse_qsl(parts.query, keep_blank_values=True)),
        "X-Amz-Algorithm": _ALGORITHM,
        "X-Amz-Credential": "/".join((by.access_key, *scope)),
        "X-Amz-Date": moment,
        "X-Amz-Expires": str(seconds),
        "X-Amz-SignedHeaders": names,
    }
    encoded = "&".join(f"{_encoded(k)}={_encoded(v)}" for k, v in sorted(query.items()))
    lines = (
        method,
        parts.path or "/",
        encoded,
        *(f"{name}:{signed[name].strip()}" for name in sorted(signed)),
        "",
        names,
        "UNSIGNED-PAYLOAD",
    )
    digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    key = reduce(_mac, scope, f"AWS4{by.secret_key}".encode())
    signature = _mac(key, "\n".join((_ALGORITHM, moment, "/".join(scope), digest))).hex()
    return urlunsplit(parts._replace(query=f"{encoded}&X-Amz-Signature={signature}", fragment=""))


def _mac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), hashlib.sha256)


def _encoded(text: str) -> str:
    return quote(text, safe="-_.~")
