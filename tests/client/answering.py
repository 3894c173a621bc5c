"""A tiny real HTTP server whose answers a test writes down: for outages and Retry-After only."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Reply:
    """One answer. `cut` closes the connection without any; `gate` is waited for before it."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False
    gate: threading.Event | None = None


@dataclass
class Seen:
    """One request as it came in."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Server:
    """Answers in the order of `replies`; the last one again and again."""

    def __init__(self, replies: list[Reply]) -> None:
        self.replies = replies
        self.seen: list[Seen] = []
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._http.serve_forever, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _answer(self) -> None:
                size = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(size)
                server.seen.append(Seen(self.command, self.path, dict(self.headers), body))
                reply = server.replies[min(len(server.seen), len(server.replies)) - 1]
                if reply.gate is not None:
                    reply.gate.wait(60)
                if reply.cut:
                    self.close_connection = True
                    return
                problem = reply.status >= 400
                content = b"" if self.command == "HEAD" else json.dumps(reply.body).encode()
                self.send_response(reply.status)
                kind = "application/problem+json" if problem else "application/json"
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(content)))
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PUT = do_HEAD = _answer

            def log_message(self, format: str, *args: Any) -> None:
                return None

        return Handler


@contextmanager
def answering(*replies: Reply) -> Iterator[Server]:
    """A server for the length of the block."""
    server = Server(list(replies))
    try:
        yield server
    finally:
        server.close()


def problem(code: str, status: int, *, retryable: bool = False, **more: Any) -> Any:
    """A problem document."""
    return {
        "type": f"https://lossatlas.dev/problems/{code}",
        "title": code,
        "status": status,
        "detail": f"{code} it is",
        "code": code,
        "errors": [],
        "retryable": retryable,
        **more,
    }
