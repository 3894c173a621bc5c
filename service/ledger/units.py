"""Units, as workers and the relay see them: claim, beat, report, release, expire.

Owns reading units; the rest is gathered here from the files that own it.
"""

from __future__ import annotations

from sqlalchemy.orm import Session

from service.ledger.claims import beat, claim, release
from service.ledger.damage import replanned_for_damage, report_damaged
from service.ledger.expiry import expire
from service.ledger.failures import MAX_DEATHS
from service.ledger.fencing import StaleAttempt
from service.ledger.records import UnitRecord
from service.ledger.reports import (
    report_failed,
    report_finalised,
    report_ingested,
    report_prepared,
    report_refined,
    report_refused,
    report_replanned,
    report_tile,
)
from service.ledger.sqltext import records

__all__ = [
    "MAX_DEATHS",
    "StaleAttempt",
    "beat",
    "claim",
    "expire",
    "release",
    "replanned_for_damage",
    "report_damaged",
    "report_failed",
    "report_finalised",
    "report_ingested",
    "report_prepared",
    "report_refined",
    "report_refused",
    "report_replanned",
    "report_tile",
    "tiles",
]


def tiles(session: Session, job_id: str) -> list[UnitRecord]:
    """The job's finished tiles, each with its `result`, in the order of the plan."""
    return records(
        session,
        UnitRecord,
        "SELECT * FROM units WHERE job_id = :job_id AND kind = 'tile' AND state = 'done'"
        " ORDER BY start",
        job_id=job_id,
    )
