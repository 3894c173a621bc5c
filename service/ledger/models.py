"""Models: networks, from `checked` at registration to `ready` or `refused` after their ingest."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from sqlalchemy.orm import Session

from service.domain.digests import digest_json
from service.domain.questions.table import INGEST
from service.ledger import endings, jobs, objects, outbox
from service.ledger import projects as project_names
from service.ledger.ids import new_id
from service.ledger.paging import DEFAULT_LIMIT, bounded, cut, decode
from service.ledger.records import ModelRecord, NewJob, Page
from service.ledger.sqltext import json, one, record, records, rows, run


def create(
    session: Session,
    *,
    project: str,
    name: str,
    program: str | None,
    architecture: Mapping[str, Any] | None,
    loss: str,
    loss_options: Mapping[str, Any] | None = None,
    tags: Iterable[str] = (),
    metadata: Mapping[str, Any] | None = None,
    signature: Mapping[str, Any] | None = None,
    created_by: str | None,
) -> ModelRecord:
    """Registers a model, and queues its ingest in the same transaction.

    A program that was ingested before in this project, with the same loss and options, needs no
    worker again: the model is ready at once, with the earlier model's canonical form.

    Args:
        program: digest of its archive, which must be recorded; or
        architecture: a named architecture and its configuration.
        loss_options: those that are not left at their defaults.
        signature: as read by the structural check; the ingest may replace it.
    """
    project_names.ensure(session, project)
    earlier = (
        None if program is None else _ingested(session, project, program, loss, loss_options or {})
    )
    identity = new_id("mdl")
    model = one(
        session,
        ModelRecord,
        "INSERT INTO models (id, project, name, program, architecture, loss, loss_options,"
        " tags, metadata,"
        " state, signature, graph, constants, created_by)"
        " VALUES (:id, :project, :name, :program, :architecture, :loss, :loss_options,"
        " :tags, :metadata, :state,"
        " :signature, :graph, :constants, :created_by) RETURNING *",
        id=identity,
        project=project,
        name=name,
        program=program,
        architecture=json(architecture),
        loss=str(loss),
        loss_options=json(loss_options or {}),
        tags=sorted(set(tags)),
        metadata=json(metadata or {}),
        state="checked" if earlier is None else "ready",
        signature=json(signature if earlier is None else earlier.signature),
        graph=None if earlier is None else earlier.graph,
        constants=None if earlier is None else earlier.constants,
        created_by=created_by,
    )
    if program is not None:
        objects.link(session, program, project, identity, "program")
    if earlier is not None:
        for digest in {earlier.graph, earlier.constants} - {None}:
            objects.link(session, str(digest), project, identity, "canonical")
        return model
    jobs.submit(
        session,
        NewJob(
            project=project,
            kind=INGEST,
            spec={"kind": INGEST, "model": identity},
            input_digest=digest_json({"kind": INGEST, "model": identity}),
            model_id=identity,
            created_by=created_by,
        ),
    )
    return model


def get(session: Session, identity: str) -> ModelRecord | None:
    """The model of this id."""
    return record(session, ModelRecord, "SELECT * FROM models WHERE id = :id", id=identity)


def list(
    session: Session,
    *,
    projects: Collection[str] | None = None,
    project: str | None = None,
    name: str | None = None,
    tag: str | None = None,
    state: str | None = None,
    cursor: str | None = None,
    limit: int = DEFAULT_LIMIT,
) -> Page[ModelRecord]:
    """Models, newest first.

    Args:
        projects: those that the caller may see; None for all.
        name: exact.
    """
    found = records(
        session,
        ModelRecord,
        "SELECT * FROM models WHERE (CAST(:projects AS text[]) IS NULL OR project = ANY(:projects))"
        " AND (CAST(:project AS text) IS NULL OR project = :project)"
        " AND (CAST(:name AS text) IS NULL OR name = :name)"
        " AND (CAST(:tag AS text) IS NULL OR tags @> ARRAY[CAST(:tag AS text)])"
        " AND (CAST(:state AS text) IS NULL OR state = :state)"
        " AND (CAST(:before AS text) IS NULL OR id < :before)"
        " ORDER BY id DESC LIMIT :most",
        projects=None if projects is None else [*projects],
        project=project,
        name=name,
        tag=tag,
        state=state,
        before=decode(cursor, str)[0] if cursor else None,
        most=bounded(limit) + 1,
    )
    return cut(found, limit, lambda model: (model.id,))


def accept(
    session: Session,
    identity: str,
    *,
    signature: Mapping[str, Any],
    graph: str | None,
    constants: str | None,
) -> None:
    """The ingest went well: the model is ready, and the jobs that waited for it may start."""
    one(
        session,
        ModelRecord,
        "UPDATE models SET state = 'ready', signature = :signature, graph = :graph,"
        " constants = :constants WHERE id = :id AND state = 'checked' RETURNING *",
        id=identity,
        signature=json(signature),
        graph=graph,
        constants=constants,
    )
    for job in endings.waiting(session, identity):
        run(session, "UPDATE jobs SET phase = 'prepare' WHERE id = :id", id=job.id)
        ready = rows(
            session,
            "UPDATE units SET state = 'ready', ready_at = now()"
            " WHERE job_id = :id AND kind = 'prepare' AND state = 'blocked' RETURNING id",
            id=job.id,
        )
        outbox.hint(session, job.id, [row["id"] for row in ready])


def _ingested(
    session: Session, project: str, program: str, loss: str, loss_options: Mapping[str, Any]
) -> ModelRecord | None:
    # of this project alone: a model that is ready at once would tell that others have the program
    return record(
        session,
        ModelRecord,
        "SELECT * FROM models WHERE program = :program AND loss = :loss AND state = 'ready'"
        " AND loss_options = :loss_options AND project = :project ORDER BY id LIMIT 1",
        program=program,
        project=project,
        loss=str(loss),
        loss_options=json(loss_options),
    )
