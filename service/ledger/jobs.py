"""Jobs: submitted, read, listed, cancelled and put back in the queue.

Locks: whoever changes a job locks its row first and its units after that; a claim, which starts
from a unit, never waits for a job. The model's row comes last. So nobody waits in a circle.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final

from sqlalchemy import exc
from sqlalchemy.orm import Session

from service.domain.problems import Problem
from service.domain.questions.table import INGEST, read_part
from service.domain.states import FINISHED_JOB, JobState, ModelState, UnitState
from service.domain.units import UnitKind
from service.ledger import endings, outbox
from service.ledger import events as history
from service.ledger import projects as project_names
from service.ledger.ids import new_id
from service.ledger.paging import DEFAULT_LIMIT, bounded, cut, decode
from service.ledger.records import (
    EventRecord,
    Idempotency,
    JobRecord,
    NewJob,
    Page,
    Progress,
    UnitRecord,
)
from service.ledger.sqltext import json, one, record, records, rows, run

#: What is said of a model whose ingest somebody cancelled.
_INGEST_CANCELLED: Final = Problem(
    "program_refused", "the model's ingest was cancelled; register the model again"
)
#: Finished tiles that the remaining time is guessed from.
_RECENT_TILES: Final = 32


def submit(session: Session, new: NewJob) -> JobRecord:
    """Writes a job, its first unit, its first event, the hint and the idempotency row.

    While the model is not ready the first unit is blocked; the model's ingest unblocks it.

    Returns:
        The new job; or the job of an earlier request with the same idempotency key; or, unless
        `force`, the live job of the same project that answers the same question already.

    Raises:
        Problem: `idempotency_key_reused` when the key came with another request;
            `model_refused`.
        LookupError: no such model.
    """
    identity = new_id("job")
    if new.idempotency is not None:
        earlier = _reserve(session, new.idempotency, identity)
        if earlier is not None:
            return earlier
    project_names.ensure(session, new.project)
    state = _lock_model(session, new.model_id)
    first = UnitKind.INGEST if new.kind == INGEST else UnitKind.PREPARE
    ready = state is ModelState.READY or first is UnitKind.INGEST
    made = _insert(session, identity, new, phase=UnitKind.PREPARE if ready else UnitKind.INGEST)
    if made is None:
        running = _live_twin(session, new)
        if new.idempotency is not None:
            _point(session, new.idempotency, running.id)
        return running
    unit_id = new_id("unt")
    run(
        session,
        "INSERT INTO units (id, job_id, project, kind, seq, state, ready_at)"
        " VALUES (:id, :job_id, :project, :kind, 0, :state,"
        " CASE WHEN :ready THEN now() END)",
        id=unit_id,
        job_id=identity,
        project=new.project,
        kind=first.value,
        state="ready" if ready else "blocked",
        ready=ready,
    )
    history.add(session, identity, history.QUEUED, attempt=1)
    if ready:
        outbox.hint(session, identity, [unit_id])
    return made


def get(session: Session, identity: str) -> JobRecord | None:
    """The job of this id."""
    return record(session, JobRecord, "SELECT * FROM jobs WHERE id = :id", id=identity)


def list(
    session: Session,
    *,
    projects: Collection[str] | None = None,
    project: str | None = None,
    state: str | None = None,
    kind: str | None = None,
    model_id: str | None = None,
    cursor: str | None = None,
    limit: int = DEFAULT_LIMIT,
) -> Page[JobRecord]:
    """Jobs, newest first; ingests only when asked for by kind.

    Args:
        projects: those that the caller may see; None for all.
    """
    found = records(
        session,
        JobRecord,
        "SELECT * FROM jobs WHERE (CAST(:kind AS text) IS NOT NULL OR kind <> 'ingest')"
        " AND (CAST(:projects AS text[]) IS NULL OR project = ANY(:projects))"
        " AND (CAST(:project AS text) IS NULL OR project = :project)"
        " AND (CAST(:state AS text) IS NULL OR state = :state)"
        " AND (CAST(:kind AS text) IS NULL OR kind = :kind)"
        " AND (CAST(:model_id AS text) IS NULL OR model_id = :model_id)"
        " AND (CAST(:before AS text) IS NULL OR id < :before)"
        " ORDER BY id DESC LIMIT :most",
        projects=None if projects is None else [*projects],
        project=project,
        state=state,
        kind=kind,
        model_id=model_id,
        before=decode(cursor, str)[0] if cursor else None,
        most=bounded(limit) + 1,
    )
    return cut(found, limit, lambda job: (job.id,))


def find_idempotent(session: Session, key: str, api_key_id: str) -> tuple[str, str] | None:
    """(request digest, job id) of an earlier request with this key."""
    found = rows(
        session,
        "SELECT request_digest, job_id FROM idempotency"
        " WHERE key = :key AND api_key_id = :api_key_id",
        key=key,
        api_key_id=api_key_id,
    )
    return (found[0]["request_digest"], found[0]["job_id"]) if found else None


def find_same(session: Session, project: str, input_digest: str) -> JobRecord | None:
    """The newest job that has answered this question in this project, or else is about to."""
    return record(
        session,
        JobRecord,
        "SELECT * FROM jobs WHERE project = :project AND input_digest = :input_digest"
        " AND state IN ('queued', 'running', 'succeeded') AND kind <> 'ingest'"
        " ORDER BY state = 'succeeded' DESC, id DESC LIMIT 1",
        project=project,
        input_digest=input_digest,
    )


def events(
    session: Session, job_id: str, after: int = 0, limit: int = 1000
) -> Sequence[EventRecord]:
    """A job's events with ids above `after`, in order."""
    return history.of_job(session, job_id, after, limit)


def cancel(session: Session, identity: str) -> JobRecord:
    """Ends a job at once; workers that hold its units hear it at their next beat.

    Cancelling a cancelled job changes nothing.

    The ingest of a model ends with the model refused, and the jobs that wait for it fail.

    Raises:
        Problem: `not_found`; `job_finished` when it succeeded or failed.
    """
    job = lock(session, identity)
    if job.state is JobState.CANCELLED:
        return job
    if job.state in FINISHED_JOB:
        raise Problem("job_finished", f"{identity} has {job.state} already")
    ended = endings.cancel(session, job)
    if job.kind == INGEST:
        endings.refuse_model(session, job.model_id, _INGEST_CANCELLED.to_json())
    return ended


def retry(session: Session, identity: str) -> JobRecord:
    """Puts a failed or cancelled job back in the queue; finished tiles stay done.

    Raises:
        Problem: `not_found`; `job_not_retryable`; `model_refused`; `conflict` when another
            live job answers the same question meanwhile.
    """
    job = lock(session, identity)
    if job.state not in {JobState.FAILED, JobState.CANCELLED} or job.kind == INGEST:
        raise Problem(
            "job_not_retryable",
            f"{identity} is {job.state}; only failed or cancelled jobs can be retried"
            if job.kind != INGEST
            else "an ingest is not retried; register the model again",
        )
    ready_model = _lock_model(session, job.model_id) is ModelState.READY
    units = _units_but_tiles(session, identity)
    prepared = units[UnitKind.PREPARE].state is UnitState.DONE
    if prepared:
        left = job.cells_total is None or job.cells_done < job.cells_total
        _reopen(session, identity, UnitKind.TILE, ready=True)
        _reopen(session, identity, UnitKind.FINALISE, ready=not left)
        phase = UnitKind.TILE if left else UnitKind.FINALISE
    else:
        _reopen(session, identity, UnitKind.PREPARE, ready=ready_model)
        phase = UnitKind.PREPARE if ready_model else UnitKind.INGEST
    try:
        with session.begin_nested():
            job = one(
                session,
                JobRecord,
                "UPDATE jobs SET state = 'queued', attempt = attempt + 1, phase = :phase,"
                " error = NULL, cancel_requested_at = NULL, started_at = NULL, finished_at = NULL"
                " WHERE id = :id AND state IN ('failed', 'cancelled') RETURNING *",
                id=identity,
                phase=phase.value,
            )
    except exc.IntegrityError as error:
        raise Problem("conflict", "another job is answering the same question already") from error
    history.add(session, identity, history.QUEUED, attempt=job.attempt)
    outbox.hint(session, identity, _ready(session, identity))
    return job


def progress(session: Session, identity: str) -> Progress:
    """How far a job is, by finished tiles and what the workers say of those in hand.

    The remaining time is the cells left, at the recent tiles' pace, shared by the hands at work.

    Raises:
        Problem: `not_found`.
    """
    job = get(session, identity)
    if job is None:
        raise _absent(identity)
    if job.state is not JobState.RUNNING:
        return at_a_glance(job)
    held = rows(
        session,
        "SELECT count(*) AS hands, coalesce(sum(cells_done), 0) AS cells FROM units"
        " WHERE job_id = :id AND state = 'leased' AND kind = 'tile'",
        id=identity,
    )[0]
    done = job.cells_done + int(held["cells"])
    if job.cells_total is not None:
        done = min(done, job.cells_total)
    return Progress(
        phase=job.phase,
        done=done,
        total=job.cells_total,
        eta_seconds=_remaining(session, job, done, int(held["hands"])),
        unit=_unit(job),
    )


def at_a_glance(job: JobRecord) -> Progress:
    """How far a job is by its finished tiles alone."""
    return Progress(job.phase, job.cells_done, job.cells_total, eta_seconds=None, unit=_unit(job))


def _unit(job: JobRecord) -> str:
    """What a job's work is counted in, once it is planned."""
    part = None if job.plan is None else read_part(job.kind, job.plan)
    return "cells" if part is None else part.unit


def lock(session: Session, identity: str) -> JobRecord:
    """The job, locked until the transaction ends. Raises Problem `not_found`."""
    # NO KEY: rows that refer to the job may be written meanwhile
    locked = record(
        session, JobRecord, "SELECT * FROM jobs WHERE id = :id FOR NO KEY UPDATE", id=identity
    )
    if locked is None:
        raise _absent(identity)
    return locked


def _reserve(session: Session, request: Idempotency, identity: str) -> JobRecord | None:
    """Takes the idempotency key for a new job; the earlier job if the key was used already.

    A request with the same key that has not committed yet is waited for.
    """
    taken = run(
        session,
        "INSERT INTO idempotency (key, api_key_id, request_digest, job_id)"
        " VALUES (:key, :api_key_id, :request_digest, :job_id) ON CONFLICT DO NOTHING",
        key=request.key,
        api_key_id=request.api_key_id,
        request_digest=request.request_digest,
        job_id=identity,
    )
    if taken.rowcount:
        return None
    earlier = find_idempotent(session, request.key, request.api_key_id)
    if earlier is None or earlier[0] != request.request_digest:
        raise Problem(
            "idempotency_key_reused",
            f"the Idempotency-Key {request.key!r} came with another request before; "
            "use a new key for a new request",
        )
    return get(session, earlier[1])


def _point(session: Session, request: Idempotency, job_id: str) -> None:
    run(
        session,
        "UPDATE idempotency SET job_id = :job_id WHERE key = :key AND api_key_id = :api_key_id",
        job_id=job_id,
        key=request.key,
        api_key_id=request.api_key_id,
    )


def _lock_model(session: Session, model_id: str) -> ModelState:
    """The model's state, held so until the transaction ends; an ingest's report waits for it."""
    found = rows(session, "SELECT state, problem FROM models WHERE id = :id FOR SHARE", id=model_id)
    if not found:
        raise LookupError(f"there is no model {model_id}")
    state = ModelState(found[0]["state"])
    if state is ModelState.REFUSED:
        raise endings.model_refused(model_id, found[0]["problem"])
    return state


def _insert(session: Session, identity: str, new: NewJob, phase: UnitKind) -> JobRecord | None:
    """The job's row; None when a live job answers the same question already."""
    return record(
        session,
        JobRecord,
        "INSERT INTO jobs (id, project, kind, state, spec, input_digest, force, model_id, origin,"
        " directions, priority, phase, cells_total, tags, created_by)"
        " VALUES (:id, :project, :kind, 'queued', :spec, :input_digest, :force, :model_id,"
        " :origin, :directions, :priority, :phase, :cells_total, :tags, :created_by)"
        " ON CONFLICT (project, input_digest)"
        " WHERE state IN ('queued', 'running') AND NOT force DO NOTHING RETURNING *",
        id=identity,
        project=new.project,
        kind=new.kind,
        spec=json(new.spec),
        input_digest=new.input_digest,
        force=new.force,
        model_id=new.model_id,
        origin=new.origin,
        directions=json(new.directions),
        priority=new.priority,
        phase=UnitKind.INGEST.value if new.kind == INGEST else phase.value,
        cells_total=new.cells_total,
        tags=sorted(new.tags),
        created_by=new.created_by,
    )


def _live_twin(session: Session, new: NewJob) -> JobRecord:
    return one(
        session,
        JobRecord,
        "SELECT * FROM jobs WHERE project = :project AND input_digest = :input_digest"
        " AND state IN ('queued', 'running') AND NOT force",
        project=new.project,
        input_digest=new.input_digest,
    )


def _units_but_tiles(session: Session, job_id: str) -> dict[UnitKind, UnitRecord]:
    found = records(
        session,
        UnitRecord,
        "SELECT * FROM units WHERE job_id = :job_id AND kind IN ('ingest', 'prepare', 'finalise')",
        job_id=job_id,
    )
    return {unit.kind: unit for unit in found}


def _reopen(session: Session, job_id: str, kind: UnitKind, *, ready: bool) -> None:
    """Makes the ended units of a kind claimable again, or waiting, with a clean record."""
    values: dict[str, Any] = {"job_id": job_id, "kind": kind.value, "ready": ready}
    run(
        session,
        "UPDATE units SET state = CASE WHEN :ready THEN 'ready' ELSE 'blocked' END,"
        " ready_at = CASE WHEN :ready THEN now() END, started_at = NULL, finished_at = NULL,"
        " deaths = 0, losses = 0, shunned = NULL, problem = NULL, cells_done = 0, worker = NULL"
        " WHERE job_id = :job_id AND kind = :kind AND state IN ('failed', 'cancelled')",
        **values,
    )


def _ready(session: Session, job_id: str) -> Sequence[str]:
    found = rows(
        session,
        "SELECT id FROM units WHERE job_id = :job_id AND state = 'ready' ORDER BY seq LIMIT :most",
        job_id=job_id,
        most=outbox.HINTS_AT_ONCE,
    )
    return [row["id"] for row in found]


def _remaining(session: Session, job: JobRecord, done: int, hands: int) -> float | None:
    if job.cells_total is None or job.plan is None:
        return None
    recent = rows(
        session,
        "SELECT sum(seconds) AS seconds, sum(cells) AS cells FROM ("
        " SELECT seconds, stop - start AS cells FROM units"
        " WHERE job_id = :id AND state = 'done' AND kind = 'tile'"
        " ORDER BY finished_at DESC LIMIT :most) recent",
        id=job.id,
        most=_RECENT_TILES,
    )[0]
    if recent["seconds"] is not None and recent["cells"]:
        pace = float(recent["seconds"]) / float(recent["cells"])
    else:
        pace = float(job.plan["cell_seconds"])
    return (job.cells_total - done) * pace / max(1, hands)


def _absent(identity: str) -> Problem:
    return Problem("not_found", f"there is no job {identity}")
