"""The HTTP server, and how it goes down.

On SIGTERM nobody may be kept waiting for a job: held answers and streams end first, then the
server waits for requests in hand.
"""

from __future__ import annotations

import socket
from typing import Final

import uvicorn
from fastapi import FastAPI

from service.http.services import Services

#: For requests in hand, after the held ones have been let go; uploads that take longer are cut,
#: and told to come again.
GRACE_SECONDS: Final = 5


class Server(uvicorn.Server):
    """Serves one application until it is told to stop."""

    def __init__(self, app: FastAPI, services: Services, *, host: str, port: int) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                host=host,
                port=port,
                http="h11",
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

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Lets go who waits, then as uvicorn does."""
        self._changes.release()
        await super().shutdown(sockets)
        # uvicorn would raise the signal again, and an orderly end would look like a death by it
        self._captured_signals.clear()
