"""The reaper: units whose lease ran out go back to be claimed, or fail their job as poison.

Owns how often and how loudly; the rule itself is one statement in the ledger.
"""

from __future__ import annotations

import logging

from service.ledger import units
from service.ledger.session import Database

log = logging.getLogger(__name__)


def reap(database: Database) -> int:
    """Takes back what dead workers held; how many units. Raises Problem `unavailable`."""
    with database.transaction() as session:
        expired = units.expire(session)
    for unit in expired:
        log.warning("the lease of %s ran out", unit)
    return len(expired)
