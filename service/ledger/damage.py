"""Damaged results of a job's own units: computed again, the rest of the job kept.

Owns what follows when a finished tile, or what a plan refers to, cannot be read any more. The bytes
that come out are the same as before, so nobody downstream can tell.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.orm import Session

from service.domain.units import UnitKind
from service.ledger import events, failures, objects, outbox
from service.ledger.failures import MAX_LOSSES
from service.ledger.fencing import hold
from service.ledger.ids import new_id
from service.ledger.records import UnitRecord
from service.ledger.sqltext import records, rows, run


def report_damaged(
    session: Session,
    unit_id: str,
    attempt: int,
    tiles: Sequence[str],
    problem: Mapping[str, Any],
) -> None:
    """Finalise found that these tiles' values cannot be read: they are ready again, and finalise
    waits for them. A tile whose values were lost too often fails the job.

    Args:
        tiles: ids of finished tiles of the job.
        problem: what was found, of one of them.

    Raises:
        StaleAttempt: as every report.
        ValueError: none of these is a finished tile of the job.
    """
    job, unit = hold(session, unit_id, attempt, UnitKind.FINALISE)
    lost = records(
        session,
        UnitRecord,
        "SELECT * FROM units WHERE job_id = :job AND id = ANY(:ids) AND kind = 'tile'"
        " AND state = 'done' ORDER BY seq FOR UPDATE",
        job=job.id,
        ids=[*tiles],
    )
    if not lost:
        raise ValueError(f"{job.id} has none of these finished tiles")
    if any(tile.losses + 1 >= MAX_LOSSES for tile in lost):
        failures.give_up(session, job, unit, problem)
        return
    for tile in lost:
        objects.mark_damaged(session, str(tile.result), str(problem.get("detail", "")))
    anew = [_again(session, tile) for tile in lost]
    _wait_again(session, unit)
    cells = sum((tile.stop or 0) - (tile.start or 0) for tile in lost)
    run(
        session,
        "UPDATE jobs SET cells_done = cells_done - :cells, phase = 'tile' WHERE id = :id",
        id=job.id,
        cells=cells,
    )
    events.add(session, job.id, events.DAMAGED, tiles=len(lost), cells=cells)
    outbox.hint(session, job.id, anew)


def replanned_for_damage(session: Session, job_id: str) -> int:
    """How often the job was planned anew because what its plan refers to was damaged."""
    found = rows(
        session,
        "SELECT count(*) AS times FROM job_events WHERE job_id = :id AND type = :type"
        " AND data ? 'damaged'",
        id=job_id,
        type=events.REPLANNED,
    )
    return int(found[0]["times"])


def _again(session: Session, tile: UnitRecord) -> str:
    """The tile as a unit that nobody has tried, but for its record; its id. A done unit stays done
    for ever, so another takes its place."""
    identity = new_id("unt")
    _remove(session, tile)
    run(
        session,
        "INSERT INTO units (id, job_id, project, kind, seq, state, start, stop, losses, ready_at)"
        " VALUES (:id, :job, :project, 'tile', :seq, 'ready', :start, :stop, :losses, now())",
        id=identity,
        job=tile.job_id,
        project=tile.project,
        seq=tile.seq,
        start=tile.start,
        stop=tile.stop,
        losses=tile.losses + 1,
    )
    return identity


def _remove(session: Session, unit: UnitRecord) -> None:
    run(session, "DELETE FROM outbox WHERE unit_id = :id", id=unit.id)
    run(session, "DELETE FROM units WHERE id = :id", id=unit.id)


def _wait_again(session: Session, finalise: UnitRecord) -> None:
    _remove(session, finalise)
    run(
        session,
        "INSERT INTO units (id, job_id, project, kind, seq, state)"
        " VALUES (:id, :job, :project, 'finalise', :seq, 'blocked')",
        id=new_id("unt"),
        job=finalise.job_id,
        project=finalise.project,
        seq=finalise.seq,
    )
