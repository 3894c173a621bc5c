"""A request's body as a blocking stream: the event loop receives, a thread reads.

Owns the bridge. At most a few chunks are in memory: the server stops reading from the socket when
the queue is full. Never waits for ever: a caller that falls silent is given up.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from typing import Final

from starlette.types import Receive

from service.domain.problems import Problem

#: Chunks are what the server hands over at once, 64 KiB or somewhat more.
_QUEUED_CHUNKS: Final = 16
#: A caller that sends nothing for so long has gone.
_SILENCE_SECONDS: Final = 60.0

_END: Final = b""


class IncomingBody:
    """One request's body.

    Run `pump` in the event loop and read in a thread; whichever ends first, call `close`.

    Args:
        receive: ASGI's.
        max_bytes: more than that is refused.
    """

    def __init__(self, receive: Receive, max_bytes: int) -> None:
        self._receive = receive
        self._max_bytes = max_bytes
        self._loop = asyncio.get_running_loop()
        self._chunks: queue.SimpleQueue[bytes | Problem] = queue.SimpleQueue()
        self._room = asyncio.Semaphore(_QUEUED_CHUNKS)
        self._closed = threading.Event()
        self._rest = memoryview(b"")
        self._ended = False

    async def pump(self) -> None:
        """Receives until the body has ended, one way or another."""
        received = 0
        while True:
            await self._room.acquire()
            try:
                message = await asyncio.wait_for(self._receive(), _SILENCE_SECONDS)
            except TimeoutError:
                self._chunks.put(_broken(received, "nothing more came for a minute"))
                return
            if message["type"] != "http.request":
                self._chunks.put(_broken(received, "the connection was closed"))
                return
            chunk = message.get("body", b"")
            received += len(chunk)
            if received > self._max_bytes:
                self._chunks.put(too_large(self._max_bytes))
                return
            if chunk:
                self._chunks.put(chunk)
            else:
                self._room.release()
            if not message.get("more_body", False):
                self._chunks.put(_END)
                return

    def close(self) -> None:
        """Ends the reader's waiting: nothing more will come."""
        self._closed.set()
        self._chunks.put(_broken(0, "the service is shutting down"))

    def read(self, size: int, /) -> bytes:
        """1 to `size` bytes, none at the end. Blocks; for the reading thread.

        Raises:
            Problem: `upload_incomplete` when the caller went away, `body_too_large`.
        """
        if not self._rest and not self._ended:
            item = self._chunks.get()
            if isinstance(item, Problem):
                raise item
            if item is _END or not item:
                self._ended = True
            else:
                self._rest = memoryview(item)
                if not self._closed.is_set():
                    self._loop.call_soon_threadsafe(self._room.release)
        piece = bytes(self._rest[:size])
        self._rest = self._rest[size:]
        return piece


def too_large(max_bytes: int) -> Problem:
    """The problem of an object above the limit."""
    return Problem("body_too_large", f"an object may have {max_bytes} bytes here")


def _broken(received: int, why: str) -> Problem:
    return Problem(
        "upload_incomplete", f"{why} after {received} bytes; nothing was stored, send it again"
    )
