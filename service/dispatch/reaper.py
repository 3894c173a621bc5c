"""The reaper: units whose lease ran out go back to be claimed, or fail their job as poison.

Owns how often and how loudly; the rule itself is one statement in the ledger.
"""

from __future__ import annotations

import logging
import threading

from service.domain.problems import Problem
from service.ledger import units
from service.ledger.session import Database
from service.settings import Settings

log = logging.getLogger(__name__)


def run(settings: Settings, stop: threading.Event) -> None:
    """Reaps every few seconds until `stop` is set; survives outages of the database."""
    database = Database(settings.database_url, pool_size=1, application_name="lossatlas-reaper")
    try:
        while not stop.wait(settings.reaper_seconds):
            try:
                reap(database)
            except Problem as problem:
                if problem.code != "unavailable":
                    raise
                log.warning("the database is away: %s", problem.detail)
    finally:
        # a fault of ours: the process ends and is started again, rather than live on without it
        stop.set()
        database.dispose()


def reap(database: Database) -> int:
    """Takes back what dead workers held; how many units. Raises Problem `unavailable`."""
    with database.transaction() as session:
        expired = units.expire(session)
    for unit in expired:
        log.warning("the lease of %s ran out", unit)
    return len(expired)
