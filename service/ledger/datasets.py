"""Data sets: samples and targets in one object, and their shapes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy.orm import Session

from service.ledger import objects
from service.ledger import projects as project_names
from service.ledger.ids import new_id
from service.ledger.paging import DEFAULT_LIMIT, bounded, cut, decode
from service.ledger.records import DatasetRecord, Page
from service.ledger.sqltext import json, one, record, records


def create(
    session: Session,
    *,
    project: str,
    name: str,
    split: str | None = None,
    object: str,
    samples: int,
    inputs: Mapping[str, Any],
    targets: Mapping[str, Any],
    created_by: str | None,
) -> DatasetRecord:
    """Registers a data set; its object must be recorded."""
    project_names.ensure(session, project)
    made = one(
        session,
        DatasetRecord,
        "INSERT INTO datasets (id, project, name, split, object, samples, inputs, targets,"
        " created_by) VALUES (:id, :project, :name, :split, :object, :samples, :inputs, :targets,"
        " :created_by) RETURNING *",
        id=new_id("dst"),
        project=project,
        name=name,
        split=split,
        object=object,
        samples=samples,
        inputs=json(inputs),
        targets=json(targets),
        created_by=created_by,
    )
    objects.link(session, object, project, made.id, "dataset")
    return made


def get(session: Session, identity: str) -> DatasetRecord | None:
    """The data set of this id."""
    return record(session, DatasetRecord, "SELECT * FROM datasets WHERE id = :id", id=identity)


def for_ids(session: Session, ids: Collection[str]) -> dict[str, DatasetRecord]:
    """Data sets by id; unknown ids are missing."""
    found = records(
        session, DatasetRecord, "SELECT * FROM datasets WHERE id = ANY(:ids)", ids=[*ids]
    )
    return {dataset.id: dataset for dataset in found}


def list(
    session: Session,
    *,
    projects: Collection[str] | None = None,
    project: str | None = None,
    name: str | None = None,
    split: str | None = None,
    cursor: str | None = None,
    limit: int = DEFAULT_LIMIT,
) -> Page[DatasetRecord]:
    """Data sets, newest first; `projects` are those that the caller may see, None for all."""
    found = records(
        session,
        DatasetRecord,
        "SELECT * FROM datasets"
        " WHERE (CAST(:projects AS text[]) IS NULL OR project = ANY(:projects))"
        " AND (CAST(:project AS text) IS NULL OR project = :project)"
        " AND (CAST(:name AS text) IS NULL OR name = :name)"
        " AND (CAST(:split AS text) IS NULL OR split = :split)"
        " AND (CAST(:before AS text) IS NULL OR id < :before)"
        " ORDER BY id DESC LIMIT :most",
        projects=None if projects is None else [*projects],
        project=project,
        name=name,
        split=split,
        before=decode(cursor, str)[0] if cursor else None,
        most=bounded(limit) + 1,
    )
    return cut(found, limit, lambda dataset: (dataset.id,))
