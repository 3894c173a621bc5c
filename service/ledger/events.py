"""What happened to a job, in order, and the nudge to whoever waits for it.

Events of a job are written while its row is locked, so their ids grow in the order in which
they become visible; only `unit_started` is written without (a claim never waits for a job).
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy.orm import Session

from service.ledger.records import EventRecord
from service.ledger.sqltext import json, records, run

#: Payload: the job's id.
JOB_CHANNEL: Final = "lossatlas_job"

QUEUED: Final = "queued"
STARTED: Final = "started"
PLANNED: Final = "planned"
REFINED: Final = "refined"
REPLANNED: Final = "replanned"
DAMAGED: Final = "damaged"
UNIT_STARTED: Final = "unit_started"
UNIT_DONE: Final = "unit_done"
UNIT_RELEASED: Final = "unit_released"
UNIT_REDONE: Final = "unit_redone"
FINISHED: Final = "finished"


def add(session: Session, job_id: str, type: str, /, **data: Any) -> None:
    """Appends an event and, once committed, wakes the listeners of the job."""
    run(
        session,
        "INSERT INTO job_events (job_id, type, data) VALUES (:job_id, :type, :data)",
        job_id=job_id,
        type=type,
        data=json(data),
    )
    nudge(session, job_id)


def nudge(session: Session, job_id: str) -> None:
    """Wakes the listeners of a job when the transaction commits."""
    run(session, "SELECT pg_notify(:channel, :payload)", channel=JOB_CHANNEL, payload=job_id)


def of_job(session: Session, job_id: str, after: int = 0, limit: int = 1000) -> list[EventRecord]:
    """A job's events with ids above `after`, in order."""
    return records(
        session,
        EventRecord,
        "SELECT * FROM job_events WHERE job_id = :job_id AND id > :after ORDER BY id LIMIT :most",
        job_id=job_id,
        after=after,
        most=limit,
    )
