"""The API in this process, served by a real server on a free port of loopback.

Owns starting and stopping it, and keys to call it with.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import httpx2
from psycopg import sql

from service.http.app import create_app
from service.http.services import Services
from service.http.serving import Server
from service.ledger import keys
from service.ledger.records import KeyRecord, Role
from service.main import ROUTERS, bound
from service.settings import Settings

START_SECONDS = 30.0
STOP_SECONDS = 30.0


@dataclass(frozen=True)
class Serving:
    """A running API."""

    services: Services
    server: Server
    thread: threading.Thread
    url: str

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def key(
        self, role: Role, projects: Collection[str] | None = None, name: str = "test"
    ) -> tuple[KeyRecord, str]:
        """A new key and its secret."""
        with self.services.database.transaction() as session:
            return keys.create(
                session,
                name=name,
                role=role,
                projects=projects,
                expires_at=None,
                created_by=None,
            )

    def client(self, secret: str | None = None) -> httpx2.Client:
        """HTTP with this key, or without any."""
        headers = {} if secret is None else {"Authorization": f"Bearer {secret}"}
        return httpx2.Client(base_url=self.url, headers=headers, timeout=60.0)

    def census(self) -> Mapping[str, int]:
        """How many rows every table has, and how many objects the bucket."""
        with self.services.database.transaction() as session:
            connection = session.connection().connection.dbapi_connection
            assert connection is not None
            cursor = connection.cursor()
            cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
            counts = {}
            for (table,) in cursor.fetchall():
                cursor.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table)))
                counts[str(table)] = int(cursor.fetchall()[0][0])
        stored = list(self.services.store.keys(""))
        return {**counts, "objects in the store": len(stored)}

    def stop(self) -> None:
        """As SIGTERM does."""
        self.server.should_exit = True
        self.thread.join(STOP_SECONDS)
        assert not self.thread.is_alive(), "the server did not stop"


@contextmanager
def serving(settings: Settings) -> Iterator[Serving]:
    """The API over these servers until the block ends."""
    services = Services.from_settings(settings)
    app = create_app(services, ROUTERS)
    with bound("127.0.0.1", 0) as listening:
        port = listening.getsockname()[1]
        server = Server(app, services, host="127.0.0.1", port=port)
        thread = threading.Thread(
            target=server.run, kwargs={"sockets": [listening]}, name="api", daemon=True
        )
        thread.start()
        running = Serving(services, server, thread, f"http://127.0.0.1:{port}")
        try:
            assert services.changes.wait_until_listening(START_SECONDS), "it hears of no changes"
            yield running
        finally:
            running.stop()
            services.database.dispose()
