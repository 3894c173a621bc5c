"""The outbox: what must be sent, written in the transaction that makes it true.

A hint says that a unit became ready. It is only a hint: it may be lost, doubled or late, since a
worker that wakes claims whatever is ready. So a job of a hundred thousand units gets no hundred
thousand hints: the first of a batch are hinted, and as long as a job has ready units its first
ones are hinted again every few seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy.orm import Session

from service.ledger.records import OutboxMessage
from service.ledger.sqltext import records, run

#: Payload: the unit's id.
HINT_CHANNEL: Final = "lossatlas_hint"

#: Workers woken at once when many units become ready together.
HINTS_AT_ONCE: Final = 64
#: Workers woken each time for a job whose ready units nobody takes.
HINTS_AGAIN: Final = 8


def hint(
    session: Session, job_id: str, unit_ids: Sequence[str], *, after_seconds: float = 0.0
) -> None:
    """Hints that units of a job became ready, or will be; of many, the first."""
    if not unit_ids:
        return
    run(
        session,
        "INSERT INTO outbox (topic, payload, unit_id, job_id, not_before)"
        " SELECT 'hint', jsonb_build_object('unit', unit_id, 'job', CAST(:job_id AS text)),"
        " unit_id, :job_id, now() + make_interval(secs => :after)"
        " FROM unnest(CAST(:unit_ids AS text[])) AS unit_id"
        " ON CONFLICT (unit_id) DO UPDATE"
        " SET sent_at = NULL, attempts = 0, not_before = excluded.not_before",
        job_id=job_id,
        after=after_seconds,
        unit_ids=[*unit_ids[:HINTS_AT_ONCE]],
    )
    # one nudge: the relay reads everything that is due
    run(
        session,
        "SELECT pg_notify(:channel, :payload)",
        channel=HINT_CHANNEL,
        payload=unit_ids[0],
    )


def take_due(session: Session, limit: int, *, resend_after_seconds: float) -> list[OutboxMessage]:
    """Locks and returns what should be sent now, oldest first.

    A hint is due when it was never sent, or was sent `resend_after_seconds` ago and its unit is
    still ready. Hints of units that are not ready any more are dropped. Rows stay locked until
    the transaction ends; other relays pass over them. Mark what was sent by `mark_sent`.
    """
    _tidy_hints(session, resend_after_seconds)
    return records(
        session,
        OutboxMessage,
        "SELECT o.id, o.topic, o.payload, o.attempts FROM outbox o"
        " WHERE o.topic = 'hint' AND o.not_before <= now()"
        " AND (o.sent_at IS NULL OR o.sent_at <= now() - make_interval(secs => :resend))"
        " AND (o.unit_id IS NULL OR EXISTS"
        "      (SELECT FROM units u WHERE u.id = o.unit_id AND u.state = 'ready'))"
        " ORDER BY o.not_before, o.id LIMIT :most FOR UPDATE OF o SKIP LOCKED",
        resend=float(resend_after_seconds),
        most=limit,
    )


def mark_sent(session: Session, ids: Sequence[int]) -> None:
    """Notes that these were handed on."""
    if ids:
        run(
            session,
            "UPDATE outbox SET sent_at = now(), attempts = attempts + 1 WHERE id = ANY(:ids)",
            ids=[*ids],
        )


def mark_unsent(session: Session, ids: Sequence[int]) -> None:
    """Takes `mark_sent` back: they are due at once, unless they were made anew meanwhile."""
    if ids:
        run(session, "UPDATE outbox SET sent_at = NULL WHERE id = ANY(:ids)", ids=[*ids])


def _tidy_hints(session: Session, resend_after_seconds: float) -> None:
    """Drops hints that say nothing any more, and hints anew where nobody was told.

    A sent hint of a claimed unit is kept until its time is up: it says when its job was last
    hinted, which is what keeps a busy job from being hinted at every claim.
    """
    run(
        session,
        "DELETE FROM outbox WHERE id IN ("
        " SELECT o.id FROM outbox o JOIN units u ON u.id = o.unit_id"
        " WHERE o.topic = 'hint' AND u.state <> 'ready'"
        " AND (o.sent_at IS NULL OR o.sent_at <= now() - make_interval(secs => :resend))"
        " FOR UPDATE OF o SKIP LOCKED)",
        resend=float(resend_after_seconds),
    )
    run(
        session,
        "INSERT INTO outbox (topic, payload, unit_id, job_id)"
        " SELECT 'hint', jsonb_build_object('unit', r.id, 'job', j.id), r.id, j.id"
        " FROM jobs j CROSS JOIN LATERAL ("
        "   SELECT u.id FROM units u WHERE u.job_id = j.id AND u.state = 'ready'"
        "   AND u.ready_at <= now() - make_interval(secs => :resend)"
        "   ORDER BY u.seq LIMIT :again) r"
        " WHERE j.state IN ('queued', 'running')"
        " AND NOT EXISTS (SELECT FROM outbox o WHERE o.job_id = j.id AND o.topic = 'hint')"
        " ON CONFLICT (unit_id) DO NOTHING",
        resend=float(resend_after_seconds),
        again=HINTS_AGAIN,
    )
