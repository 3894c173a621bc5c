"""How jobs end: what becomes of the job, of its units, and of who waits for it.

Every function expects the job's row locked by the transaction and the job live.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy.orm import Session

from service.domain.problems import Problem
from service.ledger import events
from service.ledger.records import JobRecord, ModelRecord
from service.ledger.sqltext import json, one, records, run


def cancel(session: Session, job: JobRecord) -> JobRecord:
    """The job and everything that is left of it, cancelled."""
    _drop_units(session, job.id)
    ended = one(
        session,
        JobRecord,
        "UPDATE jobs SET state = 'cancelled', cancel_requested_at = now(), finished_at = now()"
        " WHERE id = :id AND state IN ('queued', 'running') RETURNING *",
        id=job.id,
    )
    events.add(session, job.id, events.FINISHED, state="cancelled")
    return ended


def fail(session: Session, job: JobRecord, problem: Mapping[str, Any]) -> JobRecord:
    """The job failed of a problem (its JSON form); units that have not ended are cancelled."""
    _drop_units(session, job.id)
    ended = one(
        session,
        JobRecord,
        "UPDATE jobs SET state = 'failed', error = :error, finished_at = now()"
        " WHERE id = :id AND state IN ('queued', 'running') RETURNING *",
        id=job.id,
        error=json(problem),
    )
    events.add(session, job.id, events.FINISHED, state="failed", code=problem.get("code"))
    return ended


def succeed(session: Session, job: JobRecord, landscape_id: str | None) -> JobRecord:
    """The job has its result (an ingest: none)."""
    ended = one(
        session,
        JobRecord,
        "UPDATE jobs SET state = 'succeeded', landscape_id = :landscape_id, finished_at = now()"
        " WHERE id = :id AND state = 'running' RETURNING *",
        id=job.id,
        landscape_id=landscape_id,
    )
    events.add(session, job.id, events.FINISHED, state="succeeded", landscape=landscape_id)
    return ended


def model_refused(model_id: str, problem: Mapping[str, Any]) -> Problem:
    """What a job of a refused model is told."""
    return Problem(
        "model_refused",
        f"model {model_id} was refused at ingest: {problem.get('detail', 'no reason is known')}",
    )


def refuse_model(session: Session, identity: str, problem: Mapping[str, Any]) -> None:
    """The ingest went wrong: the model is refused, and the jobs that waited for it fail."""
    one(
        session,
        ModelRecord,
        "UPDATE models SET state = 'refused', problem = :problem"
        " WHERE id = :id AND state = 'checked' RETURNING *",
        id=identity,
        problem=json(problem),
    )
    refusal = model_refused(identity, problem)
    for job in waiting(session, identity):
        fail(session, job, refusal.to_json())


def waiting(session: Session, identity: str) -> Iterable[JobRecord]:
    """Live jobs of the model, locked; the model's own row must be locked already."""
    return records(
        session,
        JobRecord,
        "SELECT * FROM jobs WHERE model_id = :id AND kind <> 'ingest'"
        " AND state IN ('queued', 'running') ORDER BY id FOR NO KEY UPDATE",
        id=identity,
    )


def _drop_units(session: Session, job_id: str) -> None:
    run(
        session,
        "UPDATE units SET state = 'cancelled', finished_at = now(), lease_until = NULL"
        " WHERE job_id = :job_id AND state IN ('blocked', 'ready', 'leased')",
        job_id=job_id,
    )
