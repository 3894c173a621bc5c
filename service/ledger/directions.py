"""Directions: what was asked for at a checkpoint, and the tensors once a job has made them.

The same spec at the same checkpoint is one direction.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy.orm import Session

from service.domain.problems import Problem
from service.ledger import objects
from service.ledger.ids import new_id
from service.ledger.paging import DEFAULT_LIMIT, bounded, cut, decode
from service.ledger.records import DirectionRecord, Page
from service.ledger.sqltext import json, one, record, records


def create(
    session: Session,
    *,
    project: str,
    model_id: str,
    checkpoint_id: str,
    spec: Mapping[str, Any],
    spec_digest: str,
    created_by: str | None,
) -> DirectionRecord:
    """The direction of this spec at this checkpoint: found, or made."""
    made = record(
        session,
        DirectionRecord,
        "INSERT INTO directions (id, project, model_id, checkpoint_id, spec, spec_digest,"
        " created_by) VALUES (:id, :project, :model_id, :checkpoint_id, :spec, :spec_digest,"
        " :created_by) ON CONFLICT (checkpoint_id, spec_digest) DO NOTHING RETURNING *",
        id=new_id("dir"),
        project=project,
        model_id=model_id,
        checkpoint_id=checkpoint_id,
        spec=json(spec),
        spec_digest=spec_digest,
        created_by=created_by,
    )
    if made is None:
        return one(
            session,
            DirectionRecord,
            "SELECT * FROM directions WHERE checkpoint_id = :checkpoint_id"
            " AND spec_digest = :spec_digest",
            checkpoint_id=checkpoint_id,
            spec_digest=spec_digest,
        )
    uploaded = spec.get("object")
    if isinstance(uploaded, str):
        objects.link(session, uploaded, project, made.id, "uploaded")
    return made


def get(session: Session, identity: str) -> DirectionRecord | None:
    """The direction of this id."""
    return record(session, DirectionRecord, "SELECT * FROM directions WHERE id = :id", id=identity)


def for_ids(session: Session, ids: Collection[str]) -> dict[str, DirectionRecord]:
    """Directions by id; unknown ids are missing."""
    found = records(
        session, DirectionRecord, "SELECT * FROM directions WHERE id = ANY(:ids)", ids=[*ids]
    )
    return {direction.id: direction for direction in found}


def list(
    session: Session,
    *,
    projects: Collection[str] | None = None,
    project: str | None = None,
    model_id: str | None = None,
    checkpoint_id: str | None = None,
    cursor: str | None = None,
    limit: int = DEFAULT_LIMIT,
) -> Page[DirectionRecord]:
    """Directions, newest first; `projects` are those that the caller may see, None for all."""
    found = records(
        session,
        DirectionRecord,
        "SELECT * FROM directions"
        " WHERE (CAST(:projects AS text[]) IS NULL OR project = ANY(:projects))"
        " AND (CAST(:project AS text) IS NULL OR project = :project)"
        " AND (CAST(:model_id AS text) IS NULL OR model_id = :model_id)"
        " AND (CAST(:checkpoint_id AS text) IS NULL OR checkpoint_id = :checkpoint_id)"
        " AND (CAST(:before AS text) IS NULL OR id < :before)"
        " ORDER BY id DESC LIMIT :most",
        projects=None if projects is None else [*projects],
        project=project,
        model_id=model_id,
        checkpoint_id=checkpoint_id,
        before=decode(cursor, str)[0] if cursor else None,
        most=bounded(limit) + 1,
    )
    return cut(found, limit, lambda direction: (direction.id,))


def materialise(
    session: Session, identity: str, object: str, norm: float, *, size: int | None = None
) -> DirectionRecord:
    """Notes the tensors of a direction. The first to say so is believed; later ones agree.

    Raises:
        Problem: `not_found`.
    """
    objects.note(session, object, size)
    made = record(
        session,
        DirectionRecord,
        "UPDATE directions SET object = :object, norm = :norm WHERE id = :id AND object IS NULL"
        " RETURNING *",
        id=identity,
        object=object,
        norm=norm,
    )
    if made is not None:
        objects.link(session, object, made.project, made.id, "direction")
        return made
    present = get(session, identity)
    if present is None:
        raise Problem("not_found", f"there is no direction {identity}")
    return present
