"""Claiming units, keeping them, and giving them back: what a worker does before it reports.

Fair between projects, then by priority, then by age. The claim itself is one statement. A project
that holds several workers while another waits for its first is asked to give one back: units are
short by design, but what is uploaded need not be.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from sqlalchemy.orm import Session

from service.ledger import directions, events, models, outbox
from service.ledger.fencing import StaleAttempt
from service.ledger.records import (
    CheckpointRecord,
    ClaimedInputs,
    ClaimedUnit,
    DatasetRecord,
    DirectionRecord,
    JobRecord,
    UnitRecord,
)
from service.ledger.sqltext import one, record, records, rows, run

#: A worker stays with its job, whose data it has at hand, until another project has waited this
#: long that nobody serves, or that fewer workers serve.
PATIENCE_SECONDS: Final = 10.0
#: So long a unit may go on while a project waits that nobody serves; then, if its own project holds
#: others, it is to be given back. Several times what units are cut to.
YIELD_SECONDS: Final = 60.0
#: A project's ingests that run at once: they are short, and of programs that nobody has run yet.
INGESTS_AT_ONCE: Final = 1

#: A unit that failed on a worker is left to the others for so long; then that one may try too.
SHUN_SECONDS: Final = 10.0

# Each live job with a ready unit, in the order in which they deserve a worker; then the first
# unit of the first of them that no other transaction is claiming. Cost: one index probe for each
# live job, however many units wait. NO KEY UPDATE, because a plain FOR UPDATE would pass over a
# unit to which another transaction is just writing a reference (a hint).
# A unit is taken not before its time, and not where it just failed: by the statement's clock, since
# the transaction may have begun before the report that this statement sees.
# Both parts are MATERIALIZED so that they are evaluated once, in this order.
_CLAIM: Final = """
WITH busy AS MATERIALIZED (
    SELECT project, count(*) AS held, count(*) FILTER (WHERE kind = 'ingest') AS ingesting
    FROM units WHERE state = 'leased' GROUP BY project
), deserving AS MATERIALIZED (
    SELECT job.id
    FROM jobs job
    LEFT JOIN busy ON busy.project = job.project
    CROSS JOIN LATERAL (
        SELECT u.ready_at, u.kind FROM units u
        WHERE u.job_id = job.id AND u.state = 'ready'
            AND u.ready_at <= statement_timestamp() AND (
                u.shunned IS DISTINCT FROM :worker
                OR u.ready_at <= statement_timestamp() - make_interval(secs => :shun))
        ORDER BY u.seq LIMIT 1
    ) first
    WHERE job.state IN ('queued', 'running')
        AND (first.kind <> 'ingest' OR coalesce(busy.ingesting, 0) < :ingests)
    ORDER BY
        (CAST(:prefer AS text) IS NOT NULL
         AND coalesce(busy.held, 0) < greatest(1, (
            SELECT mine.held FROM busy mine JOIN jobs own ON own.project = mine.project
            WHERE own.id = :prefer))
         AND first.ready_at < now() - make_interval(secs => :patience)
         AND job.project <> (SELECT own.project FROM jobs own WHERE own.id = :prefer)
        ) IS TRUE DESC,
        (job.id = CAST(:prefer AS text)) IS TRUE DESC,
        coalesce(busy.held, 0),
        job.priority DESC,
        job.created_at,
        job.id
), picked AS MATERIALIZED (
    SELECT unit.id
    FROM deserving CROSS JOIN LATERAL (
        SELECT u.id FROM units u
        WHERE u.job_id = deserving.id AND u.state = 'ready'
            AND u.ready_at <= statement_timestamp() AND (
                u.shunned IS DISTINCT FROM :worker
                OR u.ready_at <= statement_timestamp() - make_interval(secs => :shun))
        ORDER BY u.seq
        LIMIT 1
        FOR NO KEY UPDATE SKIP LOCKED
    ) unit
    LIMIT 1
)
UPDATE units SET
    state = 'leased', attempt = attempt + 1, worker = :worker, started_at = now(),
    lease_until = now() + make_interval(secs => :lease), cells_done = 0
FROM picked WHERE units.id = picked.id
RETURNING units.*
"""


def claim(
    session: Session, *, worker: str, lease_seconds: float, prefer_job: str | None = None
) -> ClaimedUnit | None:
    """Takes the unit that deserves a worker most, with everything needed to carry it out.

    Args:
        worker: who asks; shown to people and in logs.
        lease_seconds: how long the unit is the worker's without a beat.
        prefer_job: the job whose data the worker has at hand already.

    Returns:
        None when nothing is ready. The unit's `attempt` is the fence for every later call.
    """
    unit = record(
        session,
        UnitRecord,
        _CLAIM,
        worker=worker,
        lease=float(lease_seconds),
        prefer=prefer_job,
        patience=PATIENCE_SECONDS,
        shun=SHUN_SECONDS,
        ingests=INGESTS_AT_ONCE,
    )
    if unit is None:
        return None
    # If the job's row is locked, somebody else starts it or ends it: nothing to wait for.
    started = run(
        session,
        "UPDATE jobs SET state = 'running', started_at = now(), phase = :phase WHERE id ="
        " (SELECT id FROM jobs WHERE id = :id AND state = 'queued'"
        "  FOR NO KEY UPDATE SKIP LOCKED)",
        id=unit.job_id,
        phase=unit.kind.value,
    )
    if started.rowcount:
        events.add(session, unit.job_id, events.STARTED)
    events.add(
        session,
        unit.job_id,
        events.UNIT_STARTED,
        unit=unit.id,
        kind=unit.kind.value,
        seq=unit.seq,
        attempt=unit.attempt,
        worker=worker,
    )
    job = one(session, JobRecord, "SELECT * FROM jobs WHERE id = :id", id=unit.job_id)
    return ClaimedUnit(unit, job, _inputs(session, job))


def beat(
    session: Session, unit_id: str, attempt: int, *, cells_done: int, lease_seconds: float
) -> Literal["ok", "yield", "cancelled", "stale"]:
    """Prolongs a lease and tells how far the unit is.

    Returns:
        "ok"; "yield" when it is to be released, for a project that nobody serves; "cancelled" when
        the job ended meanwhile; "stale" when the unit was taken away. The last two mean: stop, and
        report nothing.
    """
    kept = rows(
        session,
        "UPDATE units new SET lease_until = now() + make_interval(secs => :lease),"
        " cells_done ="
        " least(greatest(:cells_done, new.cells_done), coalesce(new.stop - new.start, 0))"
        " FROM units old WHERE new.id = :id AND old.id = new.id"
        " AND new.attempt = :attempt AND new.state = 'leased'"
        " RETURNING new.job_id, new.cells_done <> old.cells_done AS moved,"
        " new.started_at < now() - make_interval(secs => :long) AS long",
        id=unit_id,
        attempt=attempt,
        cells_done=cells_done,
        lease=float(lease_seconds),
        long=YIELD_SECONDS,
    )
    if kept:
        if kept[0]["moved"]:
            events.nudge(session, kept[0]["job_id"])
        if kept[0]["long"] and _is_to_yield(session, unit_id):
            return "yield"
        return "ok"
    ended = rows(
        session,
        "SELECT FROM units WHERE id = :id AND attempt = :attempt AND state = 'cancelled'",
        id=unit_id,
        attempt=attempt,
    )
    return "cancelled" if ended else "stale"


def _is_to_yield(session: Session, unit_id: str) -> bool:
    """Whether some project has waited long for its first worker, and this unit is the last that its
    own one took of two or more. Asked of long units alone.
    """
    asked = rows(
        session,
        "WITH held AS (SELECT u.id, count(*) OVER () AS units,"
        "  row_number() OVER (ORDER BY u.started_at DESC, u.id) AS place"
        "  FROM units u WHERE u.state = 'leased'"
        "  AND u.project = (SELECT own.project FROM units own WHERE own.id = :id))"
        " SELECT FROM held WHERE held.id = :id AND held.place = 1 AND held.units > 1"
        " AND EXISTS (SELECT FROM jobs job JOIN LATERAL ("
        "   SELECT u.ready_at FROM units u WHERE u.job_id = job.id AND u.state = 'ready'"
        "   ORDER BY u.seq LIMIT 1) first ON true"
        "  WHERE job.state IN ('queued', 'running')"
        "  AND first.ready_at < now() - make_interval(secs => :long)"
        "  AND NOT EXISTS (SELECT FROM units other"
        "   WHERE other.project = job.project AND other.state = 'leased'))",
        id=unit_id,
        long=YIELD_SECONDS,
    )
    return bool(asked)


def release(session: Session, unit_id: str, attempt: int, *, fault: str | None = None) -> None:
    """Gives a unit back unfinished; this counts as no death.

    Args:
        fault: what is wrong with the worker itself, when that is why. Others take the unit first;
            the worker only when none did for `SHUN_SECONDS`.

    Raises:
        StaleAttempt: the attempt does not hold it any more.
    """
    released = rows(
        session,
        "UPDATE units SET state = 'ready', ready_at = now(), lease_until = NULL, cells_done = 0,"
        " started_at = NULL, shunned = CASE WHEN :faulty THEN worker END"
        " WHERE id = :id AND attempt = :attempt AND state = 'leased' RETURNING job_id, worker",
        id=unit_id,
        attempt=attempt,
        faulty=fault is not None,
    )
    if not released:
        raise StaleAttempt(unit_id, attempt)
    job_id = released[0]["job_id"]
    why = {} if fault is None else {"fault": fault}
    events.add(
        session, job_id, events.UNIT_RELEASED, unit=unit_id, worker=released[0]["worker"], **why
    )
    outbox.hint(session, job_id, [unit_id])


def _inputs(session: Session, job: JobRecord) -> ClaimedInputs:
    model = models.get(session, job.model_id)
    if model is None:
        raise LookupError(f"there is no model {job.model_id}")
    along = _directions(session, job)
    wanted: dict[str, None] = {}
    for identity in (
        job.origin,
        job.spec.get("target"),
        *_path(job.spec),
        *(d.spec.get("target") for d in along.values()),
        *(d.checkpoint_id for d in along.values()),
    ):
        if isinstance(identity, str):
            wanted[identity] = None
    named = job.spec.get("datasets", ())
    by_id = {
        dataset.id: dataset
        for dataset in records(
            session,
            DatasetRecord,
            "SELECT * FROM datasets WHERE id = ANY(:ids)",
            ids=[*named],
        )
    }
    return ClaimedInputs(
        model=model,
        checkpoints={
            checkpoint.id: checkpoint
            for checkpoint in records(
                session,
                CheckpointRecord,
                "SELECT * FROM checkpoints WHERE id = ANY(:ids)",
                ids=[*wanted],
            )
        },
        datasets=tuple(by_id[identity] for identity in named),
        directions=along,
        plan=job.plan,
    )


def _path(spec: Mapping[str, Any]) -> list[str]:
    """The checkpoints of a trajectory, all runs'."""
    runs = (spec, *spec.get("runs", ()))
    return [identity for run in runs for identity in run.get("checkpoints", ())]


def _directions(session: Session, job: JobRecord) -> dict[str, DirectionRecord]:
    found = directions.for_ids(session, [*job.directions.values()])
    return {axis: found[identity] for axis, identity in job.directions.items()}
