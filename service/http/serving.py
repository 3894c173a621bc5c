"""The HTTP server: what its connections are held to, and how it goes down.

On SIGTERM nobody may be kept waiting for a job: held answers and streams end first, then the
server waits for requests in hand.
"""

from __future__ import annotations

import resource
import socket
from typing import Final

import uvicorn
from fastapi import FastAPI

from service.http.connections import Bounds, Connection, Connections
from service.http.proxies import Proxies
from service.http.services import Services

#: For requests in hand, after the held ones have been let go; uploads that take longer are cut,
#: and told to come again.
GRACE_SECONDS: Final = 5
#: Files that the process opens for other things than callers: databases, stores, checks.
_OTHER_FILES: Final = 256
_MOST_FILES: Final = 1 << 16


class Server(uvicorn.Server):
    """Serves one application until it is told to stop."""

    def __init__(self, app: FastAPI, services: Services, *, host: str, port: int) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                host=host,
                port=port,
                http=Connection,
                ws="none",
                lifespan="on",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=30,
                timeout_graceful_shutdown=GRACE_SECONDS,
            )
        )
        self._changes = services.changes
        settings = services.settings
        self._connections = Connections(
            Bounds(
                head_seconds=settings.head_seconds,
                bytes_per_second=settings.bytes_per_second,
                slow_seconds=settings.slow_seconds,
                most=min(settings.connections, _open_files() - _OTHER_FILES),
                most_of_address=settings.connections_per_address,
            ),
            Proxies(settings.trusted_proxies),
        )
        self.server_state = self._connections

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second."""
        if counter % 10 == 0:
            self._connections.look()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Lets go who waits, then as uvicorn does."""
        self._changes.release()
        await super().shutdown(sockets)
        # uvicorn would raise the signal again, and an orderly end would look like a death by it
        self._captured_signals.clear()


def _open_files() -> int:
    """How many files this process may open, once it has asked for as many as we could use."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return max(most, 2 * _OTHER_FILES)
