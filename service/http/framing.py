"""Where one request ends and the next begins: read in one way only, or refused.

A proxy and a server that read the same bytes differently can be made to take one caller's bytes for
another's request (request smuggling). Owns what is refused beyond h11's own rules, and the bounds
on heads and chunks; never looks at what a request asks for.

RFC 9112: sections 2.2 (bare LF), 3.2 (targets), 5.2 (folded lines), 6.1 and 6.3 (both framings).
"""

from __future__ import annotations

import re
from typing import Any, Final
from urllib.parse import urlsplit

import h11
from h11._receivebuffer import ReceiveBuffer

#: Of a head, and of a chunked body's trailers. Addresses of the catalog and tokens are far shorter.
MOST_HEAD_BYTES: Final = 32 << 10
MOST_FIELDS: Final = 200
#: Chunks are the caller's to choose, and each costs work: so many, and one more for every so many
#: bytes that they carry.
FREE_CHUNKS: Final = 1000
BYTES_A_CHUNK: Final = 64
#: Bytes of chunks' sizes and extensions, beyond those that the chunks carry.
FREE_OVERHEAD: Final = 64 << 10

#: What a request has once. h11 looks after `Host`.
_ONCE: Final = frozenset(
    {b"authorization", b"content-length", b"content-type", b"idempotency-key", b"transfer-encoding"}
)
_BARE_LF: Final = re.compile(rb"(?:^|[^\r])\n")
_VERSIONS: Final = frozenset({b"1.0", b"1.1"})


class StrictLines(ReceiveBuffer):
    """h11's buffer, whose lines end in CRLF, are not folded, and frame a body once."""

    def maybe_extract_lines(self) -> list[bytearray] | None:
        """The lines up to the first empty one.

        Raises:
            h11.LocalProtocolError: which h11 makes the caller's fault.
        """
        given = bytes(self._data[: MOST_HEAD_BYTES + 4])
        lines = super().maybe_extract_lines()
        if lines is None:
            _require_crlf(given)
            return None
        size = sum(map(len, lines)) + 2 * len(lines) + 2
        if size > MOST_HEAD_BYTES or len(lines) > MOST_FIELDS:
            raise h11.LocalProtocolError(
                f"a head may have {MOST_HEAD_BYTES} bytes and {MOST_FIELDS} fields",
                error_status_hint=431,
            )
        _require_crlf(given[:size])
        _require_one_reading(lines)
        return lines


def _require_crlf(text: bytes) -> None:
    if _BARE_LF.search(text):
        raise h11.LocalProtocolError("lines end with CRLF, never with LF alone")


def _require_one_reading(lines: list[bytearray]) -> None:
    seen: set[bytes] = set()
    for line in lines:
        if line.startswith((b" ", b"\t")):
            raise h11.LocalProtocolError("a field's value stands on one line")
        name, _, value = bytes(line).partition(b":")
        name = name.lower()
        if name not in _ONCE:
            continue
        if name in seen:
            raise h11.LocalProtocolError(f"{name.decode()} is there twice")
        seen.add(name)
        if name == b"content-length" and not value.strip(b" \t").isdigit():
            raise h11.LocalProtocolError("Content-Length is one number")
    if {b"content-length", b"transfer-encoding"} <= seen:
        raise h11.LocalProtocolError("Content-Length together with Transfer-Encoding")


class StrictConnection(h11.Connection):
    """h11's server side, which refuses what another server might read otherwise.

    Attributes:
        refusal: why the caller's bytes were refused; None as long as they were not.
    """

    def __init__(self) -> None:
        super().__init__(h11.SERVER, MOST_HEAD_BYTES)
        self._receive_buffer = StrictLines()
        self.refusal: h11.RemoteProtocolError | None = None
        self._chunked = False
        self._chunks = self._carried = self._received = 0

    def receive_data(self, data: bytes) -> None:
        """Bytes as they came."""
        self._received += len(data)
        super().receive_data(data)

    def next_event(self) -> Any:
        """As h11's.

        Raises:
            h11.RemoteProtocolError: also kept as `refusal`.
        """
        try:
            event = super().next_event()
            if isinstance(event, h11.Request):
                event = self._request(event)
            elif isinstance(event, h11.Data) and self._chunked:
                self._count(event)
            elif isinstance(event, h11.EndOfMessage):
                _require_harmless(event)
            elif event is h11.NEED_DATA and self._chunked:
                self._require_little_overhead()
        except h11.RemoteProtocolError as error:
            self.refusal = error
            raise
        return event

    def _request(self, request: h11.Request) -> h11.Request:
        self._chunked = any(name == b"transfer-encoding" for name, _ in request.headers)
        self._chunks = self._carried = 0
        self._received = len(self._receive_buffer)
        if request.http_version not in _VERSIONS:
            raise h11.RemoteProtocolError("HTTP/1.1 is spoken here", error_status_hint=505)
        if self._chunked and request.http_version != b"1.1":
            raise h11.RemoteProtocolError("HTTP/1.0 has no Transfer-Encoding")
        if request.target.startswith(b"/"):
            return request
        return h11.Request(
            method=request.method,
            target=_origin_form(request),
            headers=request.headers,
            http_version=request.http_version,
        )

    def _count(self, data: h11.Data) -> None:
        self._chunks += data.chunk_start
        self._carried += len(data.data)
        if self._chunks > FREE_CHUNKS + self._carried // BYTES_A_CHUNK:
            raise h11.RemoteProtocolError("the body comes in too many too small chunks")

    def _require_little_overhead(self) -> None:
        overhead = self._received - self._carried - len(self._receive_buffer)
        if overhead > FREE_OVERHEAD + self._carried:
            raise h11.RemoteProtocolError("the chunks' extensions are longer than the body")


def _require_harmless(end: h11.EndOfMessage) -> None:
    """Trailers are ignored; those that another server would not ignore are refused."""
    if any(name in _ONCE or name == b"host" for name, _ in end.headers):
        raise h11.RemoteProtocolError("a trailer that belongs into the head")


def _origin_form(request: h11.Request) -> bytes:
    """The path and query of a target such as `http://host/path?query`, on `Host`'s own host.

    Raises:
        h11.RemoteProtocolError: another host, or another form of target.
    """
    refused = h11.RemoteProtocolError("the target of a request is a path on this host")
    host = next((value for name, value in request.headers if name == b"host"), b"")
    try:
        parts = urlsplit(request.target.decode("ascii"))
    except ValueError:
        raise refused from None
    if (
        parts.scheme not in ("http", "https")
        or parts.netloc.lower() != host.decode("latin-1").lower()
    ):
        raise refused
    query = f"?{parts.query}" if parts.query else ""
    return f"{parts.path or '/'}{query}".encode("ascii")
