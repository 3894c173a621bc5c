"""Landscapes: finished results, written once and found again by what they are about."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from sqlalchemy.orm import Session

from service.domain.problems import Problem
from service.ledger.identity import new_id
from service.ledger.paging import DEFAULT_LIMIT, bounded, cut, decode
from service.ledger.records import JobRecord, LandscapeRecord, NewLandscape, Page
from service.ledger.sqltext import json, one, record, records

#: Orders of `list`, and the comparison that goes on after a row.
_ORDERS: Final[Mapping[str, tuple[str, str]]] = {
    "-created_at": ("id DESC", "<"),
    "created_at": ("id", ">"),
}


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
    projects: Collection[str] | None = None,
    project: str | None = None,
    model_id: str | None = None,
    kind: str | None = None,
    tag: str | None = None,
    dataset: str | None = None,
    text: str | None = None,
    ranges: Mapping[str, tuple[float | None, float | None]] | None = None,
    sort: str = "-created_at",
    cursor: str | None = None,
    limit: int = DEFAULT_LIMIT,
) -> Page[LandscapeRecord]:
    """Landscapes, newest first unless `sort` is "created_at".

    Args:
        projects: those that the caller may see; None for all.
        dataset: id of one it was evaluated on.
        text: part of the title, the model's name or a tag; case does not matter.
        ranges: inclusive bounds of derived numbers by dotted path (`train.barrier.value`); what
            has no number there does not match.

    Raises:
        Problem: `invalid_request` for an unknown order or a foreign cursor.
    """
    if sort not in _ORDERS:
        raise Problem(
            "invalid_request", f"sort must be one of {', '.join(_ORDERS)}", pointer="/sort"
        )
    order, beyond = _ORDERS[sort]
    conditions, values = _in_ranges(ranges or {})
    found = records(
        session,
        LandscapeRecord,
        "SELECT l.* FROM landscapes l"  # noqa: S608 (constants; names are generated)
        " WHERE (CAST(:projects AS text[]) IS NULL OR l.project = ANY(:projects))"
        " AND (CAST(:project AS text) IS NULL OR l.project = :project)"
        " AND (CAST(:model_id AS text) IS NULL OR l.model_id = :model_id)"
        " AND (CAST(:kind AS text) IS NULL OR l.kind = :kind)"
        " AND (CAST(:tag AS text) IS NULL OR l.tags @> ARRAY[CAST(:tag AS text)])"
        " AND (CAST(:dataset AS text) IS NULL OR l.spec -> 'datasets' ? :dataset)"
        " AND (CAST(:text AS text) IS NULL OR l.title ILIKE :text"
        "      OR EXISTS (SELECT FROM unnest(l.tags) t WHERE t ILIKE :text)"
        "      OR EXISTS (SELECT FROM models m WHERE m.id = l.model_id AND m.name ILIKE :text))"
        f"{conditions}"
        f" AND (CAST(:last AS text) IS NULL OR l.id {beyond} :last)"
        f" ORDER BY l.{order} LIMIT :most",
        projects=None if projects is None else [*projects],
        project=project,
        model_id=model_id,
        kind=kind,
        tag=tag,
        dataset=dataset,
        text=None if text is None else f"%{_literally(text)}%",
        last=decode(cursor, str)[0] if cursor else None,
        most=bounded(limit) + 1,
        **values,
    )
    return cut(found, limit, lambda landscape: (landscape.id,))


def _in_ranges(
    ranges: Mapping[str, tuple[float | None, float | None]],
) -> tuple[str, dict[str, Any]]:
    conditions = ""
    values: dict[str, Any] = {}
    for number, path in enumerate(sorted(ranges)):
        low, high = ranges[path]
        at, least, most = f"path_{number}", f"least_{number}", f"most_{number}"
        # the CASE keeps the cast away from what is no number
        conditions += (
            f" AND CASE WHEN jsonb_typeof(l.derived #> :{at}) = 'number' THEN"
            f" CAST(l.derived #>> :{at} AS float8)"
            f" BETWEEN coalesce(CAST(:{least} AS float8), '-infinity')"
            f" AND coalesce(CAST(:{most} AS float8), 'infinity') ELSE false END"
        )
        values |= {at: path.split("."), least: low, most: high}
    return conditions, values


def _literally(text: str) -> str:
    """The text with LIKE's own signs taken as themselves."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
