"""Leases that ran out: their workers are taken for dead, and their units taken back.

A silent worker is its machine's fault until many were lost with the same unit in hand: what a
unit's own child does, its supervisor lives to report.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy.orm import Session

from service.domain.problems import Problem
from service.ledger import failures
from service.ledger.records import ExpiredUnit, JobRecord, UnitRecord
from service.ledger.sqltext import record, records, rows

#: Jobs looked after in one call, so that a transaction stays short.
_JOBS_AT_ONCE: Final = 200


def expire(session: Session) -> list[ExpiredUnit]:
    """Takes back every unit whose lease is past, counting a loss.

    A unit with which `failures.MAX_LOSSES` workers were lost fails its job as `poison`. Jobs that
    somebody is working on this moment are left for the next call, so this never waits.
    """
    expired: list[ExpiredUnit] = []
    due = rows(
        session,
        "SELECT DISTINCT job_id FROM units WHERE state = 'leased' AND lease_until < now()"
        " ORDER BY job_id LIMIT :most",
        most=_JOBS_AT_ONCE,
    )
    for row in due:
        job = record(
            session,
            JobRecord,
            "SELECT * FROM jobs WHERE id = :id AND state IN ('queued', 'running')"
            " FOR NO KEY UPDATE SKIP LOCKED",
            id=row["job_id"],
        )
        if job is not None:
            expired += _expire_in(session, job)
    return expired


def _expire_in(session: Session, job: JobRecord) -> list[ExpiredUnit]:
    expired = []
    for unit in records(
        session,
        UnitRecord,
        "SELECT * FROM units WHERE job_id = :job_id AND state = 'leased' AND lease_until < now()"
        " ORDER BY seq FOR NO KEY UPDATE SKIP LOCKED",
        job_id=job.id,
    ):
        again = failures.set_back(session, job, unit, _poison(unit), lost=True)
        expired.append(
            ExpiredUnit(unit.id, job.id, unit.worker or "", unit.losses + 1, poison=not again)
        )
        if not again:
            # the job has failed and taken its other units along
            break
    return expired


def _poison(unit: UnitRecord) -> dict[str, object]:
    times = {1: "once", 2: "twice"}.get(unit.losses + 1, f"{unit.losses + 1} times")
    return Problem(
        "poison",
        f"the {unit.kind} unit {unit.seq} lost its worker {times}, last {unit.worker}, which "
        "stopped answering; it may need more memory than the worker has",
    ).to_json()
