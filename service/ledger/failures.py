"""What follows when a unit does not work out: another try, or the end of its job.

Functions expect the job and the unit locked, and the unit leased.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy.orm import Session

from service.domain.units import UnitKind
from service.ledger import endings, events, outbox
from service.ledger.records import JobRecord, UnitRecord
from service.ledger.sqltext import json, run

#: So many attempts may end badly before the unit is given up.
MAX_DEATHS: Final = 3


def set_back(
    session: Session,
    job: JobRecord,
    unit: UnitRecord,
    problem: Mapping[str, Any],
) -> bool:
    """Counts a death; the unit is ready again, or given up when it has died too often.

    Returns:
        Whether there will be another attempt.
    """
    if unit.deaths + 1 >= MAX_DEATHS:
        give_up(session, job, unit, problem)
        return False
    run(
        session,
        "UPDATE units SET state = 'ready', ready_at = now(), lease_until = NULL, cells_done = 0,"
        " started_at = NULL, deaths = deaths + 1, problem = :problem"
        " WHERE id = :id AND state = 'leased'",
        id=unit.id,
        problem=json(problem),
    )
    events.add(
        session,
        job.id,
        events.UNIT_REDONE,
        unit=unit.id,
        kind=unit.kind.value,
        seq=unit.seq,
        attempt=unit.attempt,
        deaths=unit.deaths + 1,
        worker=unit.worker,
        code=problem.get("code"),
    )
    outbox.hint(session, job.id, [unit.id])
    return True


def give_up(
    session: Session, job: JobRecord, unit: UnitRecord, problem: Mapping[str, Any]
) -> JobRecord:
    """The unit failed for good, and its job with it; an ingest refuses its model."""
    run(
        session,
        "UPDATE units SET state = 'failed', finished_at = now(), lease_until = NULL,"
        " deaths = deaths + 1, problem = :problem WHERE id = :id AND state = 'leased'",
        id=unit.id,
        problem=json(problem),
    )
    ended = endings.fail(session, job, problem)
    if unit.kind is UnitKind.INGEST:
        endings.refuse_model(session, job.model_id, problem)
    return ended
