"""Bytes that a proxy and a server could read differently: refused, and the connection closed.

Each is sent by hand with a second request behind it. What is refused is answered once, in problem
JSON; the bytes behind are never taken for a request.
"""

from __future__ import annotations

import json
import re
import socket
from contextlib import suppress

import pytest

from tests.http.raw import answer, connection
from tests.support.serving import Serving

BEHIND = b"GET /livez HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
POST = b"POST /v1/identity/token HTTP/1.1\r\n"
KIND = b"Content-Type: application/json\r\n"
HOST = b"Host: h\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
EMPTY = b"0\r\n\r\n"
KIB = 1 << 10

REFUSED = {
    "length and encoding": POST + HOST + b"Content-Length: 5\r\n" + CHUNKED + b"\r\n" + EMPTY,
    "encoding and length": POST + HOST + CHUNKED + b"Content-Length: 5\r\n\r\n" + EMPTY,
    "equal lengths": POST + HOST + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
    "other lengths": POST + HOST + b"Content-Length: 2\r\nContent-Length: 50\r\n\r\n{}",
    "a list of lengths": POST + HOST + b"Content-Length: 2, 2\r\n\r\n{}",
    "a signed length": POST + HOST + b"Content-Length: +2\r\n\r\n{}",
    "a negative length": POST + HOST + b"Content-Length: -2\r\n\r\n{}",
    "a length in hex": POST + HOST + b"Content-Length: 0x2\r\n\r\n{}",
    "a length with an underscore": POST + HOST + b"Content-Length: 1_0\r\n\r\n0123456789",
    "no length": POST + HOST + b"Content-Length: \r\n\r\n{}",
    "a length of many digits": POST + HOST + b"Content-Length: " + b"0" * 40 + b"2\r\n\r\n{}",
    "identity first": POST + HOST + b"Transfer-Encoding: identity, chunked\r\n\r\n" + EMPTY,
    "chunked twice": POST + HOST + CHUNKED + CHUNKED + b"\r\n" + EMPTY,
    "chunked in a list": POST + HOST + b"Transfer-Encoding: chunked, chunked\r\n\r\n" + EMPTY,
    "gzip": POST + HOST + b"Transfer-Encoding: gzip, chunked\r\n\r\n" + EMPTY,
    "not quite chunked": POST + HOST + b"Transfer-Encoding: \x0bchunked\r\n\r\n" + EMPTY,
    "an encoding in HTTP/1.0": b"POST /sign-out HTTP/1.0\r\n" + HOST + CHUNKED + b"\r\n" + EMPTY,
    "an encoding on a folded line": POST + HOST + b"Transfer-Encoding:\r\n chunked\r\n\r\n" + EMPTY,
    "a folded line": b"GET /livez HTTP/1.1\r\n" + HOST + b"X-A: b\r\n c\r\n\r\n",
    "a fold at the start": b"GET /livez HTTP/1.1\r\n X-A: b\r\n" + HOST + b"\r\n",
    "bare LF": b"GET /livez HTTP/1.1\nHost: h\n\n",
    "one bare LF": b"GET /livez HTTP/1.1\r\nHost: h\nX-A: b\r\n\r\n",
    "bare LF at the end": b"GET /livez HTTP/1.1\r\nHost: h\r\n\n",
    "bare CR": b"GET /livez HTTP/1.1\r\nHost: h\r\nX-A: b\rX-B: c\r\n\r\n",
    "NUL": b"GET /livez HTTP/1.1\r\nHost: h\r\nX-A: b\0c\r\n\r\n",
    "a space before the colon": POST + HOST + b"Content-Length : 2\r\n\r\n{}",
    "a tab before the colon": POST + HOST + b"Transfer-Encoding\t: chunked\r\n\r\n" + EMPTY,
    "a nameless field": b"GET /livez HTTP/1.1\r\n" + HOST + b": x\r\n\r\n",
    "no host": b"GET /livez HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /livez HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n",
    "two keys": b"GET /livez HTTP/1.1\r\n"
    + HOST
    + b"Authorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n",
    "two media types": POST + HOST + KIND + KIND + b"Content-Length: 2\r\n\r\n{}",
    "another host's target": b"GET http://other/livez HTTP/1.1\r\n" + HOST + b"\r\n",
    "another port's target": b"GET http://h:81/livez HTTP/1.1\r\n" + HOST + b"\r\n",
    "another scheme's target": b"GET ftp://h/livez HTTP/1.1\r\n" + HOST + b"\r\n",
    "a target that is no address": b"GET http://[h/livez HTTP/1.1\r\nHost: [h\r\n\r\n",
    "no path": b"GET livez HTTP/1.1\r\n" + HOST + b"\r\n",
    "asterisk": b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n",
    "a tunnel": b"CONNECT h:80 HTTP/1.1\r\n" + HOST + b"\r\n",
    "HTTP/0.9": b"GET /livez\r\n\r\n",
    "HTTP/2's version": b"GET /livez HTTP/2.0\r\n" + HOST + b"\r\n",
    "HTTP/2's preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "two spaces": b"GET  /livez HTTP/1.1\r\n" + HOST + b"\r\n",
    "an empty line first": b"\r\nGET /livez HTTP/1.1\r\n" + HOST + b"\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "a chunk's size in decimal places": POST + HOST + CHUNKED + b"\r\n1.0\r\nx\r\n" + EMPTY,
    "a chunk's negative size": POST + HOST + CHUNKED + b"\r\n-1\r\nx\r\n" + EMPTY,
    "a chunk's size with 0x": POST + HOST + CHUNKED + b"\r\n0x1\r\nx\r\n" + EMPTY,
    "a chunk's huge size": POST + HOST + CHUNKED + b"\r\n" + b"f" * 21 + b"\r\nx\r\n" + EMPTY,
    "a chunk ends elsewhere": POST + HOST + CHUNKED + b"\r\n1\r\nxy\r\n" + EMPTY,
    "a chunk's line ends with LF": POST + HOST + CHUNKED + b"\r\n1;a\n\r\nx\r\n" + EMPTY,
    "a long extension": POST + HOST + CHUNKED + b"\r\n1;" + b"a" * 64 * KIB,
    "extensions without end": POST
    + HOST
    + CHUNKED
    + b"\r\n"
    + (b"1;" + b"a" * 8 * KIB + b"\r\nx\r\n") * 100,
    "chunks of one byte": POST + HOST + CHUNKED + b"\r\n" + b"1\r\nx\r\n" * 20_000,
    "trailers that frame": POST + HOST + CHUNKED + b"\r\n0\r\nContent-Length: 5\r\n\r\n",
    "trailers with LF": POST + HOST + CHUNKED + b"\r\n0\r\nX-A: b\n\r\n",
    "trailers without end": POST + HOST + CHUNKED + b"\r\n0\r\n" + b"X-A: b\r\n" * 20_000,
    "many fields": b"GET /livez HTTP/1.1\r\n" + HOST + b"a:\r\n" * 300 + b"\r\n",
    "a long head": b"GET /livez HTTP/1.1\r\n" + HOST + b"A: " + b"a" * 40 * KIB + b"\r\n\r\n",
    "a long target": b"GET /livez?" + b"a" * 40 * KIB + b" HTTP/1.1\r\n" + HOST + b"\r\n",
    "a head without end": b"GET /livez HTTP/1.1\r\n" + HOST + b"A: " + b"a" * 200 * KIB,
}
#: Read in one way by everybody; the second request is served too.
TAKEN = {
    "plainly": b"GET /livez HTTP/1.1\r\n" + HOST + b"\r\n",
    "our own absolute target": b"GET http://H/livez HTTP/1.1\r\n" + HOST + b"\r\n",
    "an empty body": b"GET /livez HTTP/1.1\r\n" + HOST + b"Content-Length: 0\r\n\r\n",
    "a wish for another protocol": b"GET /livez HTTP/1.1\r\n"
    + HOST
    + b"Connection: upgrade\r\nUpgrade: h2c, websocket\r\n\r\n",
    "chunks": b"GET /livez HTTP/1.1\r\n"
    + HOST
    + CHUNKED
    + b"\r\n2;a=b\r\n{}\r\n0\r\nX-A: b\r\n\r\n",
    "chunked in capitals": b"GET /livez HTTP/1.1\r\n"
    + HOST
    + b"transfer-encoding: Chunked\r\n\r\n"
    + EMPTY,
    "some hundred fields": b"GET /livez HTTP/1.1\r\n" + HOST + b"a: b\r\n" * 100 + b"\r\n",
}


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_once_and_for_all(running: Serving, name: str) -> None:
    with connection(running) as opened:
        said = exchanged(opened, REFUSED[name] + BEHIND)
    head, _, body = said.partition(b"\r\n\r\n")
    status = int(head.split()[1])
    assert status in (400, 431, 505), said
    assert len(re.findall(rb"HTTP/1.1 \d", said)) == 1, "the bytes behind were taken for a request"
    assert b"\r\nConnection: close" in head
    told = json.loads(body)
    assert told["code"] in ("malformed_request", "head_too_large")
    assert told["status"] == status
    assert told["request_id"].startswith("req_")
    assert len(body) < 1000


@pytest.mark.parametrize("name", TAKEN)
def test_what_everybody_reads_alike_is_served(running: Serving, name: str) -> None:
    with connection(running) as opened:
        opened.sendall(TAKEN[name])
        first = opened.recv(65536)
        opened.sendall(BEHIND)
        rest = answer(opened)
    assert first.startswith(b"HTTP/1.1 200 "), first
    assert rest.count(b"HTTP/1.1 200 ") == 1


def test_http_1_0_is_answered_and_closed(running: Serving) -> None:
    """Whatever it says of keeping the connection: old proxies repeat that without knowing it."""
    with connection(running) as opened:
        opened.sendall(b"GET /livez HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" + BEHIND)
        assert answer(opened).count(b"HTTP/1.1 200 ") == 1


def test_whatever_the_pieces(running: Serving) -> None:
    """A head that comes byte by byte is read as one that comes at once."""
    for name in ("length and encoding", "one bare LF", "a folded line"):
        with connection(running) as opened:
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for byte in REFUSED[name]:
                try:
                    opened.sendall(bytes([byte]))
                except OSError:
                    break  # refused before its end
            assert exchanged(opened, b"").startswith(b"HTTP/1.1 400 "), name


def exchanged(opened: socket.socket, sent: bytes) -> bytes:
    """What is answered, though the other side may hang up before it has read everything."""
    with suppress(OSError):
        opened.sendall(sent)
    pieces = []
    try:
        while piece := opened.recv(65536):
            pieces.append(piece)
    except ConnectionResetError:
        pass
    return b"".join(pieces)
