"""Landscapes: finished results, written once and found again by what they are about."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from service.ledger import catalog
from service.ledger.ids import new_id
from service.ledger.paging import DEFAULT_LIMIT
from service.ledger.records import JobRecord, LandscapeRecord, NewLandscape, Page
from service.ledger.sqltext import json, one, record


def create(session: Session, job: JobRecord, new: NewLandscape) -> LandscapeRecord:
    """Writes a job's result; its data object must be recorded. For the report of `finalise`."""
    return one(
        session,
        LandscapeRecord,
        "INSERT INTO landscapes (id, project, job_id, kind, model_id, origin, input_digest, data,"
        " provenance, derived, spec, title, tags, created_by)"
        " VALUES (:id, :project, :job_id, :kind, :model_id, :origin, :input_digest, :data,"
        " :provenance, :derived, :spec, :title, :tags, :created_by) RETURNING *",
        id=new_id("lsc"),
        project=job.project,
        job_id=job.id,
        kind=job.kind,
        model_id=job.model_id,
        origin=job.origin,
        input_digest=job.input_digest,
        data=new.data,
        provenance=json(new.provenance),
        derived=json(new.derived),
        spec=json(job.spec),
        title=new.title,
        tags=[*job.tags],
        created_by=job.created_by,
    )


def get(session: Session, identity: str) -> LandscapeRecord | None:
    """The landscape of this id."""
    return record(session, LandscapeRecord, "SELECT * FROM landscapes WHERE id = :id", id=identity)


def list(
    session: Session,
    *,
    sort: str = "-created_at",
    cursor: str | None = None,
    limit: int = DEFAULT_LIMIT,
    **filters: Any,
) -> Page[LandscapeRecord]:
    """Landscapes in one of `catalog.ORDERS`; `filters` are those of `catalog.Filters`.

    Raises:
        Problem: `invalid_request` for an unknown order or a foreign cursor.
    """
    return catalog.search(
        session, catalog.Filters(**filters), sort=sort, cursor=cursor, limit=limit
    )
