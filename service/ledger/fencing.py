"""The fence: a report counts only from the attempt that holds the unit.

Every report begins here. The job's row is locked before the unit's, as everywhere.
"""

from __future__ import annotations

from sqlalchemy.orm import Session

from service.domain.states import JobState
from service.domain.units import UnitKind
from service.ledger import events, jobs
from service.ledger.records import JobRecord, UnitRecord
from service.ledger.sqltext import one, record, rows


class StaleAttempt(Exception):
    """The unit is not this attempt's any more: done, cancelled, released or claimed anew."""

    def __init__(self, unit_id: str, attempt: int) -> None:
        super().__init__(f"attempt {attempt} of {unit_id} does not hold it")
        self.unit_id = unit_id
        self.attempt = attempt


def hold(
    session: Session, unit_id: str, attempt: int, *kinds: UnitKind
) -> tuple[JobRecord, UnitRecord]:
    """The unit and its job, both locked, the job running.

    Args:
        kinds: what the unit must be for this report; any when none is given.

    Raises:
        StaleAttempt: the attempt does not hold the unit.
        ValueError: a unit of another kind.
    """
    owner = rows(session, "SELECT job_id FROM units WHERE id = :id", id=unit_id)
    if not owner:
        raise StaleAttempt(unit_id, attempt)
    job = jobs.lock(session, owner[0]["job_id"])
    unit = record(
        session,
        UnitRecord,
        "SELECT * FROM units WHERE id = :id AND attempt = :attempt AND state = 'leased'"
        " FOR NO KEY UPDATE",
        id=unit_id,
        attempt=attempt,
    )
    if unit is None:
        raise StaleAttempt(unit_id, attempt)
    if kinds and unit.kind not in kinds:
        raise ValueError(f"{unit_id} is a unit of kind {unit.kind}, this report is of another")
    if job.state is JobState.QUEUED:
        # its claim found the job's row locked and did not wait
        job = one(
            session,
            JobRecord,
            "UPDATE jobs SET state = 'running', started_at = now() WHERE id = :id RETURNING *",
            id=job.id,
        )
        events.add(session, job.id, events.STARTED)
    return job, unit
