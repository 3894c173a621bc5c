"""HTTP spoken by hand over a socket: what no client library would send."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.serving import Serving


@contextmanager
def connection(running: Serving) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", running.port), 30) as opened:
        yield opened


def answer(opened: socket.socket) -> bytes:
    """Everything until the server hangs up; ask it to, by `Connection: close`."""
    pieces = []
    while piece := opened.recv(65536):
        pieces.append(piece)
    return b"".join(pieces)


def settle(running: Serving, seconds: float = 20.0) -> None:
    """Returns when no request is in the server's hands any more."""
    deadline = time.monotonic() + seconds
    while running.server.server_state.tasks:
        assert time.monotonic() < deadline, "requests in hand do not end"
        time.sleep(0.01)
