"""Aliases: names that a project gives to a model, a checkpoint or a landscape; every move kept.

Owns the order of moves: revisions of a name count up for ever, through removals too, so that a
caller who knows one knows whether anything has happened since.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from sqlalchemy.orm import Session

from service.domain.problems import Problem
from service.ledger.paging import DEFAULT_LIMIT, bounded, cut, decode
from service.ledger.records import AliasMove, AliasRecord, Page
from service.ledger.sqltext import one, record, records, run

#: Where a target of each kind of id is kept.
_COLUMNS: Final = {"mdl": "model_id", "ckp": "checkpoint_id", "lsc": "landscape_id"}
_SELECT: Final = (
    "SELECT project, name, coalesce(model_id, checkpoint_id, landscape_id) AS target, revision,"
    " note, moved_at, moved_by FROM aliases"
)


def get(session: Session, project: str, name: str) -> AliasRecord | None:
    """The alias of this name."""
    return record(
        session,
        AliasRecord,
        f"{_SELECT} WHERE project = :project AND name = :name",
        project=project,
        name=name,
    )


def locked(session: Session, project: str, name: str) -> AliasRecord | None:
    """The alias as it is, and nobody moves it until the transaction ends; its project exists."""
    # the project stands for names that are not there yet; rows that refer to it are not held up
    run(session, "SELECT 1 FROM projects WHERE name = :name FOR NO KEY UPDATE", name=project)
    return get(session, project, name)


def move(
    session: Session,
    before: AliasRecord | None,
    *,
    project: str,
    name: str,
    target: str,
    note: str | None,
    by: str,
) -> AliasRecord:
    """Points the alias at `target`, and notes it.

    Args:
        before: from `locked`.
        target: id of a model, a checkpoint or a landscape that exists.
    """
    revision = _note(session, before, project, name, target, note, by)
    values = dict.fromkeys(_COLUMNS.values())
    values[_COLUMNS[target.partition("_")[0]]] = target
    run(
        session,
        "INSERT INTO aliases (project, name, model_id, checkpoint_id, landscape_id, revision,"
        " note, moved_by) VALUES (:project, :name, :model_id, :checkpoint_id, :landscape_id,"
        " :revision, :note, :by) ON CONFLICT (project, name) DO UPDATE SET"
        " model_id = excluded.model_id, checkpoint_id = excluded.checkpoint_id,"
        " landscape_id = excluded.landscape_id, revision = excluded.revision,"
        " note = excluded.note, moved_at = now(), moved_by = excluded.moved_by",
        project=project,
        name=name,
        revision=revision,
        note=note,
        by=by,
        **values,
    )
    moved = get(session, project, name)
    assert moved is not None  # noqa: S101 (just written)
    return moved


def remove(session: Session, before: AliasRecord, *, note: str | None, by: str) -> None:
    """Takes the name away, and notes it; its history stays."""
    _note(session, before, before.project, before.name, None, note, by)
    run(
        session,
        "DELETE FROM aliases WHERE project = :project AND name = :name",
        project=before.project,
        name=before.name,
    )


def list(
    session: Session,
    *,
    projects: Collection[str] | None = None,
    project: str | None = None,
    cursor: str | None = None,
    limit: int = DEFAULT_LIMIT,
) -> Page[AliasRecord]:
    """Aliases by project and name; `projects` are those that the caller may see, None for all."""
    after = decode(cursor, str, str) if cursor else (None, None)
    found = records(
        session,
        AliasRecord,
        f"{_SELECT} WHERE (CAST(:projects AS text[]) IS NULL OR project = ANY(:projects))"
        " AND (CAST(:project AS text) IS NULL OR project = :project)"
        " AND (CAST(:after AS text) IS NULL OR (project, name) > (:after, :after_name))"
        " ORDER BY project, name LIMIT :most",
        projects=None if projects is None else [*projects],
        project=project,
        after=after[0],
        after_name=after[1],
        most=bounded(limit) + 1,
    )
    return cut(found, limit, lambda alias: (alias.project, alias.name))


def history(
    session: Session,
    project: str,
    name: str,
    *,
    cursor: str | None = None,
    limit: int = DEFAULT_LIMIT,
) -> Page[AliasMove]:
    """Moves of a name, newest first; of removed ones too."""
    found = records(
        session,
        AliasMove,
        "SELECT * FROM alias_moves WHERE project = :project AND name = :name"
        " AND (CAST(:before AS integer) IS NULL OR revision < :before)"
        " ORDER BY revision DESC LIMIT :most",
        project=project,
        name=name,
        before=_revision(cursor) if cursor else None,
        most=bounded(limit) + 1,
    )
    return cut(found, limit, lambda move: (move.revision,))


def _note(
    session: Session,
    before: AliasRecord | None,
    project: str,
    name: str,
    target: str | None,
    note: str | None,
    by: str,
) -> int:
    moved = one(
        session,
        AliasMove,
        "INSERT INTO alias_moves (project, name, revision, from_target, to_target, note, key_id)"
        " SELECT :project, :name, coalesce(max(revision), 0) + 1, :from_target, :to_target, :note,"
        " :by FROM alias_moves WHERE project = :project AND name = :name RETURNING *",
        project=project,
        name=name,
        from_target=None if before is None else before.target,
        to_target=target,
        note=note,
        by=by,
    )
    return moved.revision


def _revision(cursor: str) -> int:
    revision: int = decode(cursor, int)[0]
    if not 0 <= revision < 1 << 31:
        raise Problem("invalid_request", "no such cursor was given out", pointer="/cursor")
    return revision
