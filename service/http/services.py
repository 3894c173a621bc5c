"""What every request may use: made once at start, shared by all threads.

Owns the list and nothing of its members.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from service.http.waiting import Changes
from service.identity import Providers
from service.ledger.session import Database
from service.settings import Settings
from service.store.objects import ObjectStore

#: Somebody waits for the answer, and would rather hear that the database is away.
_STATEMENT_SECONDS: Final = 10.0


@dataclass(frozen=True)
class Services:
    """The process's connections.

    Attributes:
        changes: wakes those who wait for a job; started and stopped with the application.
        providers: of identities, with what they said last.
    """

    settings: Settings
    database: Database
    store: ObjectStore
    changes: Changes
    providers: Providers

    @classmethod
    def from_settings(cls, settings: Settings) -> Services:
        """Connects to nothing yet; every part does so when it is first used."""
        # as many connections as there are threads that may want one
        database = Database(
            settings.database_url,
            pool_size=20,
            application_name="lossatlas-api",
            statement_seconds=_STATEMENT_SECONDS,
        )
        return cls(
            settings,
            database,
            ObjectStore.from_settings(settings),
            Changes(database),
            Providers(loopback=settings.oidc_loopback),
        )
