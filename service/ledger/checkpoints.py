"""Checkpoints: a model's weights, in the order in which they were registered."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy.orm import Session

from service.domain.problems import Problem
from service.ledger import models, objects
from service.ledger.ids import new_id
from service.ledger.paging import DEFAULT_LIMIT, bounded, cut, decode
from service.ledger.records import CheckpointRecord, Page
from service.ledger.sqltext import json, one, record, records, run


def create(
    session: Session,
    *,
    model_id: str,
    weights: str,
    step: int | None = None,
    epoch: float | None = None,
    label: str | None = None,
    metrics: Mapping[str, float] | None = None,
    learning_rate: float | None = None,
    created_by: str | None,
) -> CheckpointRecord:
    """Registers weights as the model's next checkpoint. Raises Problem `not_found`."""
    # one at a time for each model, so that `seq` has no gaps and no twins; the model's own row
    # stays free for its ingest and its jobs
    run(
        session,
        "SELECT pg_advisory_xact_lock(hashtextextended(:model_id, 0))",
        model_id=model_id,
    )
    model = models.get(session, model_id)
    if model is None:
        raise Problem("not_found", f"there is no model {model_id}")
    made = one(
        session,
        CheckpointRecord,
        "INSERT INTO checkpoints (id, model_id, seq, weights, step, epoch, label, metrics,"
        " learning_rate, created_by)"
        " SELECT :id, :model_id, coalesce(max(seq) + 1, 0), :weights, CAST(:step AS bigint),"
        " CAST(:epoch AS float8), CAST(:label AS text), CAST(:metrics AS jsonb),"
        " CAST(:learning_rate AS float8), CAST(:created_by AS text)"
        " FROM checkpoints WHERE model_id = :model_id RETURNING *",
        id=new_id("ckp"),
        model_id=model_id,
        weights=weights,
        step=step,
        epoch=epoch,
        label=label,
        metrics=json(metrics or {}),
        learning_rate=learning_rate,
        created_by=created_by,
    )
    objects.link(session, weights, model.project, made.id, "weights")
    return made


def get(session: Session, identity: str) -> CheckpointRecord | None:
    """The checkpoint of this id."""
    return record(
        session, CheckpointRecord, "SELECT * FROM checkpoints WHERE id = :id", id=identity
    )


def for_ids(session: Session, ids: Collection[str]) -> dict[str, CheckpointRecord]:
    """Checkpoints by id; unknown ids are missing."""
    found = records(
        session, CheckpointRecord, "SELECT * FROM checkpoints WHERE id = ANY(:ids)", ids=[*ids]
    )
    return {checkpoint.id: checkpoint for checkpoint in found}


def all_of(session: Session, model_id: str) -> Sequence[CheckpointRecord]:
    """Every checkpoint of a model, in order: its trajectory."""
    return records(
        session,
        CheckpointRecord,
        "SELECT * FROM checkpoints WHERE model_id = :model_id ORDER BY seq",
        model_id=model_id,
    )


def list(
    session: Session, model_id: str, *, cursor: str | None = None, limit: int = DEFAULT_LIMIT
) -> Page[CheckpointRecord]:
    """A model's checkpoints in order."""
    found = records(
        session,
        CheckpointRecord,
        "SELECT * FROM checkpoints WHERE model_id = :model_id AND seq > :after"
        " ORDER BY seq LIMIT :most",
        model_id=model_id,
        after=decode(cursor, int)[0] if cursor else -1,
        most=bounded(limit) + 1,
    )
    return cut(found, limit, lambda checkpoint: (checkpoint.seq,))
