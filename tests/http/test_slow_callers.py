"""Callers who send half of a request, or fetch half of an answer: let go after a while.

Meanwhile they keep nobody out.
"""

from __future__ import annotations

import json
import select
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import product

import pytest

from service.settings import Settings
from tests.features.caller import Caller
from tests.http.raw import connection
from tests.support.processes import until
from tests.support.serving import Serving, serving

CHUNKED = b"Transfer-Encoding: chunked"
HEAD_SECONDS = 2.0
SLOW_SECONDS = 3.0
#: The server looks every second; the machine is shared.
LATER = 15.0
MIB = 1 << 20


@pytest.fixture(scope="module")
def impatient(settings: Settings) -> Iterator[Serving]:
    few = {
        "head_seconds": HEAD_SECONDS,
        "slow_seconds": SLOW_SECONDS,
        "connections_per_address": 40,
    }
    with serving(settings.model_copy(update=few)) as api:
        yield api


def ended(opened: socket.socket, drip: bytes = b"", seconds: float = LATER) -> bytes:
    """What was said until the server hung up, while a byte is sent now and then."""
    said, deadline = b"", time.monotonic() + seconds
    while time.monotonic() < deadline:
        readable, _, _ = select.select([opened], [], [], 0.2)
        try:
            if readable:
                piece = opened.recv(65536)
                if not piece:
                    return said
                said += piece
            else:
                opened.sendall(drip)
        except OSError:
            return said
    raise AssertionError(f"held for {seconds} s")


def late(said: bytes) -> None:
    head, _, body = said.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 408 "), said
    assert b"Retry-After" in head
    told = json.loads(body)
    assert told["code"] == "request_timeout"
    assert told["retryable"] is True


def test_a_connection_on_which_nothing_comes(impatient: Serving) -> None:
    with connection(impatient) as opened:
        assert ended(opened) == b""


@pytest.mark.parametrize("drip", [b"", b"a"])
def test_half_a_head(impatient: Serving, drip: bytes) -> None:
    with connection(impatient) as opened:
        opened.sendall(b"GET /livez HTTP/1.1\r\nHost: h\r\nX-A: ")
        late(ended(opened, drip))


def test_half_a_head_behind_a_request(impatient: Serving) -> None:
    with connection(impatient) as opened:
        opened.sendall(b"GET /livez HTTP/1.1\r\nHost: h\r\n\r\n")
        first = b""
        while not first.endswith(b"}"):
            first += opened.recv(65536)
        opened.sendall(b"GET /livez HTTP/1.1\r\nHost: h\r\nX-A: ")
        late(ended(opened, b"a"))


def test_half_a_body(impatient: Serving) -> None:
    key = impatient.key("submitter")[1].encode()
    lines = (
        b"POST /v1/identity/token",
        b"POST /v1/models",
        b"PUT /v1/objects/sha256:" + b"0" * 64,
        b"POST /sign-in",
    )
    with ExitStack() as stack, ThreadPoolExecutor() as threads:
        waiting = []
        for line, framing, drip in product(lines, (b"Content-Length: 60000", CHUNKED), (b"", b"1")):
            opened = stack.enter_context(connection(impatient))
            opened.sendall(
                line + b" HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
                b"Authorization: Bearer " + key + b"\r\n" + framing + b"\r\n\r\n"
            )
            if framing is CHUNKED:
                opened.sendall(b"ffff\r\n{")
            waiting.append(threads.submit(ended, opened, drip))
        for one in waiting:
            late(one.result())


def test_a_body_that_nobody_waits_for(impatient: Serving) -> None:
    """Answered at its head; what drips in behind does not keep the connection."""
    with connection(impatient) as opened:
        opened.sendall(b"POST /v1/models HTTP/1.1\r\nHost: h\r\nContent-Length: 600\r\n\r\n")
        assert opened.recv(65536).startswith(b"HTTP/1.1 401 ")
        ended(opened, b"1")


def test_an_answer_that_nobody_fetches(impatient: Serving) -> None:
    secret = impatient.key("submitter")[1]
    with impatient.client(secret) as http:
        digest = Caller(http, impatient.census).put(b"x" * (24 * MIB))
    key = secret.encode()
    with socket.socket() as opened:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        opened.connect(("127.0.0.1", impatient.port))
        opened.sendall(
            b"GET /v1/objects/" + digest.encode() + b" HTTP/1.1\r\nHost: h\r\n"
            b"Authorization: Bearer " + key + b"\r\n\r\n"
        )
        until(
            "the request is in hand",
            lambda: bool(impatient.server.server_state.tasks),
        )
        # a byte now and then, as somebody would who wants to hold it
        deadline = time.monotonic() + 30.0
        while impatient.server.server_state.tasks:
            assert time.monotonic() < deadline, "the answer is held for ever"
            opened.recv(1)
            time.sleep(0.2)


def test_those_who_do_not_finish_keep_nobody_out(impatient: Serving) -> None:
    """Three times as many as one address may have."""
    held = []
    try:
        for _ in range(120):
            opened = socket.create_connection(("127.0.0.1", impatient.port), 30)
            opened.sendall(b"GET /livez HTTP/1.1\r\nHost: h\r\nX-A: ")
            held.append(opened)
        for _ in range(20):
            with impatient.client() as http:
                assert http.get("/livez").status_code == 200
        assert len(impatient.server.server_state.connections) <= 41
    finally:
        for opened in held:
            opened.close()


def test_nobody_has_every_connection(impatient: Serving) -> None:
    """Requests in hand are not ended for others; who has too many is told so."""
    key = impatient.key("reader")[1].encode()
    held = []
    try:
        for _ in range(40):
            opened = socket.create_connection(("127.0.0.1", impatient.port), 30)
            opened.sendall(
                b"PUT /v1/objects/sha256:" + b"0" * 64 + b" HTTP/1.1\r\nHost: h\r\n"
                b"Authorization: Bearer " + key + b"\r\nContent-Length: 9\r\n\r\n"
            )
            held.append(opened)
        for opened in held:
            assert opened.recv(65536).startswith(b"HTTP/1.1 403 ")
        with connection(impatient) as opened:
            told = ended(opened)
        assert told.startswith(b"HTTP/1.1 429 ")
        assert b"Retry-After" in told
        assert b"too_many_at_once" in told
    finally:
        for opened in held:
            opened.close()
