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

#: So many attempts may end badly by what the unit's child did before the unit is given up.
MAX_DEATHS: Final = 3
#: And so many workers may fall silent with it in hand: machines die for reasons of their own, but
#: a unit that takes each one along must end as well.
MAX_LOSSES: Final = 10
#: A unit that failed again and again waits ever longer, since what ails it may pass.
_FIRST_PAUSE_SECONDS: Final = 2.0
_LONGEST_PAUSE_SECONDS: Final = 30.0


def set_back(
    session: Session,
    job: JobRecord,
    unit: UnitRecord,
    problem: Mapping[str, Any],
    *,
    lost: bool = False,
) -> bool:
    """Counts a failed attempt; the unit is ready again, or given up after too many of them.

    The first is made up for at once (by another worker, if there is one), later ones after pauses.

    Args:
        lost: its worker fell silent, which says little about the unit.

    Returns:
        Whether there will be another attempt.
    """
    deaths, losses = unit.deaths + (not lost), unit.losses + lost
    if deaths >= MAX_DEATHS or losses >= MAX_LOSSES:
        give_up(session, job, unit, problem, lost=lost)
        return False
    pause = _pause_seconds(deaths + losses)
    run(
        session,
        "UPDATE units SET state = 'ready', ready_at = now() + make_interval(secs => :pause),"
        " lease_until = NULL, cells_done = 0, started_at = NULL, deaths = :deaths,"
        " losses = :losses, shunned = worker, problem = :problem"
        " WHERE id = :id AND state = 'leased'",
        id=unit.id,
        pause=pause,
        deaths=deaths,
        losses=losses,
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
        deaths=deaths,
        losses=losses,
        worker=unit.worker,
        code=problem.get("code"),
    )
    outbox.hint(session, job.id, [unit.id], after_seconds=pause)
    return True


def _pause_seconds(failures: int) -> float:
    if failures <= 1:
        return 0.0
    return min(_FIRST_PAUSE_SECONDS * 2.0 ** (failures - 2), _LONGEST_PAUSE_SECONDS)


def give_up(
    session: Session,
    job: JobRecord,
    unit: UnitRecord,
    problem: Mapping[str, Any],
    *,
    lost: bool = False,
) -> JobRecord:
    """The unit failed for good, and its job with it; an ingest refuses its model.

    Args:
        lost: its worker fell silent, once more.
    """
    run(
        session,
        "UPDATE units SET state = 'failed', finished_at = now(), lease_until = NULL,"
        " deaths = deaths + :died, losses = losses + :lost, problem = :problem"
        " WHERE id = :id AND state = 'leased'",
        id=unit.id,
        died=int(not lost),
        lost=int(lost),
        problem=json(problem),
    )
    ended = endings.fail(session, job, problem)
    if unit.kind is UnitKind.INGEST:
        endings.refuse_model(session, job.model_id, problem)
    return ended
