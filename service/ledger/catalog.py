"""Finding landscapes: conditions, orders and counts that stay quick over millions of rows.

A question is put together from what was asked and nothing else, so that the planner sees which
index answers it. Counts of facets are kept by triggers; with further conditions they are counted
over the newest matches and no more.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import psycopg
from sqlalchemy import exc
from sqlalchemy.orm import Session

from service.domain.ids import make_id
from service.domain.problems import Problem
from service.ledger.paging import DEFAULT_LIMIT, bounded, cut, decode
from service.ledger.records import LandscapeRecord, ModelRecord, Page
from service.ledger.sqltext import records, rows, run
from service.ledger.tables import SORTED_MEASURES, measured

#: Matches that the counts beside a question are taken from, the newest.
COUNTED: Final = 1000
#: Counts are worth so much waiting and no more: what no index finds quickly is not counted.
_PATIENCE: Final = "120ms"
#: Landscapes of a project among which those with a sharpness are looked for, the newest.
_LOOKED_AT: Final = 2000
#: Of those, how many are drawn as points.
_POINTS: Final = 400
#: Values of one facet that are told, those of most landscapes.
TOLD: Final = 12

#: Orders of a list; `-` is descending.
ORDERS: Final[tuple[str, ...]] = (
    "-created_at",
    "created_at",
    *SORTED_MEASURES,
    *(f"-{name}" for name in SORTED_MEASURES),
)


@dataclass(frozen=True)
class Filters:
    """What a landscape must be like; None asks for nothing.

    Attributes:
        projects: those that the caller may see; None for all.
        dataset: id of one it was evaluated on.
        author: id of the key that asked for it.
        since, until: made at or after, and before.
        text: each of its words is part of the title, the model's name, a tag or the note; case
            does not matter.
        ranges: inclusive bounds of derived numbers by dotted path (`train.barrier.value`); what
            has no number there does not match.
    """

    projects: Collection[str] | None = None
    project: str | None = None
    model_id: str | None = None
    kind: str | None = None
    tag: str | None = None
    dataset: str | None = None
    author: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    text: str | None = None
    ranges: Mapping[str, tuple[float | None, float | None]] = field(default_factory=dict)

    @property
    def beyond_project(self) -> bool:
        """Whether anything but projects is asked for."""
        asked = (self.model_id, self.kind, self.tag, self.dataset, self.author)
        return any((*asked, self.since, self.until, self.text, self.ranges))


@dataclass(frozen=True)
class Facet:
    """A value and how many landscapes have it."""

    value: str
    count: int


@dataclass(frozen=True)
class Facets:
    """Values by field, most landscapes first.

    Attributes:
        matches: landscapes that match in all; None where counting would take too long.
        sampled: there are more matches than were counted; all counts are of the newest.
    """

    by_field: Mapping[str, Sequence[Facet]]
    matches: int | None
    sampled: bool


def search(
    session: Session,
    filters: Filters,
    *,
    sort: str = "-created_at",
    cursor: str | None = None,
    limit: int = DEFAULT_LIMIT,
) -> Page[LandscapeRecord]:
    """Landscapes in one of `ORDERS`. By a measure, those that have it.

    Raises:
        Problem: `invalid_request` for an unknown order or a foreign cursor.
    """
    if sort not in ORDERS:
        raise Problem(
            "invalid_request", f"sort must be one of {', '.join(ORDERS)}", pointer="/sort"
        )
    conditions, values = conditions_of(filters)
    descending = sort.startswith("-")
    way, beyond = ("DESC", "<") if descending else ("ASC", ">")
    name = sort.removeprefix("-")
    if name == "created_at":
        order, columns = f"l.id {way}", "l.*"
        if cursor:
            conditions.append(f"l.id {beyond} :last")
            values["last"] = decode(cursor, str)[0]
    else:
        value, present = measured(name)
        order, columns = f"{value} {way}, l.id {way}", f"l.*, {value} AS sorted_by"
        conditions.append(present)
        if cursor:
            conditions.append(f"({value}, l.id) {beyond} (CAST(:at AS float8), :last)")
            at, values["last"] = decode(cursor, (int, float), str)
            values["at"] = float(at)
    _plan_anew(session)
    found = records(
        session,
        _Sorted if name != "created_at" else LandscapeRecord,
        f"SELECT {columns} FROM landscapes l{_where(conditions)}"  # noqa: S608 (constants)
        f" ORDER BY {order} LIMIT :most",
        **values,
        most=bounded(limit) + 1,
    )
    page: Page[Any] = cut(
        found,
        limit,
        lambda one: (one.sorted_by, one.id) if isinstance(one, _Sorted) else (one.id,),
    )
    return page


def facets(session: Session, filters: Filters) -> Facets:
    """How many landscapes there are for each value of each field."""
    if filters.beyond_project:
        return _among_newest(session, filters)
    conditions, values = _of_projects(filters, "")
    found = rows(
        session,
        "SELECT field, value, landscapes FROM (SELECT field, value, sum(landscapes) AS landscapes,"  # noqa: S608
        " row_number() OVER (PARTITION BY field ORDER BY sum(landscapes) DESC, value DESC) AS place"
        f" FROM landscape_facets{_where(conditions)} GROUP BY field, value"
        " HAVING sum(landscapes) > 0) counted"
        " WHERE place <= :told OR field = 'kind' ORDER BY field, place",
        **values,
        told=TOLD,
    )
    grouped = _grouped(found)
    return Facets(grouped, sum(facet.count for facet in grouped.get("kind", ())), False)


def per_project(session: Session, projects: Collection[str] | None) -> list[Facet]:
    """How many landscapes every project has, by name."""
    conditions, values = _of_projects(Filters(projects=projects), "")
    conditions.append("field = 'kind'")
    found = rows(
        session,
        "SELECT project AS value, sum(landscapes) AS landscapes FROM landscape_facets"  # noqa: S608
        f"{_where(conditions)} GROUP BY project HAVING sum(landscapes) > 0 ORDER BY project",
        **values,
    )
    return [Facet(row["value"], int(row["landscapes"])) for row in found]


def conditions_of(filters: Filters) -> tuple[list[str], dict[str, Any]]:
    """The conditions of a WHERE over `landscapes l`, and their values."""
    conditions, values = _of_projects(filters, "l.")

    def add(condition: str, **given: Any) -> None:
        conditions.append(condition)
        values.update(given)

    if filters.model_id is not None:
        add("l.model_id = :model_id", model_id=filters.model_id)
    if filters.kind is not None:
        add("l.kind = :kind", kind=filters.kind)
    if filters.author is not None:
        add("l.created_by = :author", author=filters.author)
    if filters.tag is not None:
        add("l.tags @> ARRAY[CAST(:tag AS text)]", tag=filters.tag)
    if filters.dataset is not None:
        add("l.spec -> 'datasets' ? :dataset", dataset=filters.dataset)
    # ids sort by the time at which they were made
    if filters.since is not None:
        add("l.id >= :since", since=_first_id(filters.since))
    if filters.until is not None:
        add("l.id < :until", until=_first_id(filters.until))
    for number, word in enumerate((filters.text or "").split()):
        # the column is in lower case
        add(f"l.search LIKE lower(:word_{number})", **{f"word_{number}": f"%{_literally(word)}%"})
    for number, path in enumerate(sorted(filters.ranges)):
        low, high = filters.ranges[path]
        at, least, most = f"path_{number}", f"least_{number}", f"most_{number}"
        # the CASE keeps the cast away from what is no number
        add(
            f"CASE WHEN jsonb_typeof(l.derived #> :{at}) = 'number' THEN"
            f" CAST(l.derived #>> :{at} AS float8)"
            f" BETWEEN coalesce(CAST(:{least} AS float8), '-infinity')"
            f" AND coalesce(CAST(:{most} AS float8), 'infinity') ELSE false END",
            **{at: path.split("."), least: low, most: high},
        )
    return conditions, values


@dataclass(frozen=True)
class _Sorted(LandscapeRecord):
    """With the measure that the list is sorted by."""

    sorted_by: float


def _of_projects(filters: Filters, prefix: str) -> tuple[list[str], dict[str, Any]]:
    conditions: list[str] = []
    values: dict[str, Any] = {}
    if filters.projects is not None:
        conditions.append(f"{prefix}project = ANY(:projects)")
        values["projects"] = [*filters.projects]
    if filters.project is not None:
        conditions.append(f"{prefix}project = :project")
        values["project"] = filters.project
    return conditions, values


def _among_newest(session: Session, filters: Filters) -> Facets:
    conditions, values = conditions_of(filters)
    _plan_anew(session)
    try:
        with session.begin_nested():
            run(session, f"SET LOCAL statement_timeout = '{_PATIENCE}'")
            found = _counted(session, conditions, values)
            run(session, "RESET statement_timeout")
    except exc.DBAPIError as error:
        if not isinstance(error.orig, psycopg.errors.QueryCanceled):
            raise
        return Facets({}, None, True)
    matches = int(found[0]["landscapes"])
    return Facets(_grouped(found[1:]), min(matches, COUNTED), matches > COUNTED)


def _counted(
    session: Session, conditions: Sequence[str], values: Mapping[str, Any]
) -> list[Mapping[Any, Any]]:
    return rows(
        session,
        "WITH newest AS MATERIALIZED (SELECT l.kind, l.model_id, l.created_by, l.tags,"  # noqa: S608
        " l.spec -> 'datasets' AS datasets"
        f" FROM landscapes l{_where(conditions)} ORDER BY l.id DESC LIMIT :counted)"
        " SELECT '' AS field, '' AS value, count(*) AS landscapes, 0 AS place FROM newest"
        " UNION ALL SELECT * FROM (SELECT f.field, f.value, count(*) AS landscapes, row_number()"
        " OVER (PARTITION BY f.field ORDER BY count(*) DESC, f.value DESC) AS place FROM newest n,"
        " landscape_facet_values(n.kind, n.model_id, n.created_by, n.tags, n.datasets) f"
        " GROUP BY f.field, f.value) ranked WHERE place <= :told ORDER BY field, place",
        **values,
        counted=COUNTED + 1,
        told=TOLD,
    )


def _plan_anew(session: Session) -> None:
    """A word or a tag may be common or rare: a plan made for any of them suits neither."""
    run(session, "SET LOCAL plan_cache_mode = force_custom_plan")


def _grouped(found: Sequence[Mapping[Any, Any]]) -> dict[str, list[Facet]]:
    grouped: dict[str, list[Facet]] = {}
    for row in found:
        grouped.setdefault(row["field"], []).append(Facet(row["value"], int(row["landscapes"])))
    return grouped


def _first_id(at: datetime) -> str:
    return make_id(
        "lsc", unix_milliseconds=max(0, int(at.timestamp() * 1000)), randomness=bytes(10)
    )


def _where(conditions: Sequence[str]) -> str:
    return f" WHERE {' AND '.join(conditions)}" if conditions else ""


def _literally(text: str) -> str:
    """The text with LIKE's own signs taken as themselves."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


_NAMED: Final = {"model": "models", "dataset": "datasets"}


def names(
    session: Session, field: str, ids: Collection[str], projects: Collection[str] | None
) -> dict[str, str]:
    """What models, data sets and authors are called, by id; unknown ids are missing.

    Args:
        field: `author` is whoever made landscapes in these projects.
        projects: those that the caller may see; None for all. What lies elsewhere is unknown.
    """
    if field == "author":
        source, here = "api_keys", _MADE_IN
    else:
        source, here = _NAMED[field], "project = ANY(:projects)"
    found = rows(
        session,
        f"SELECT id, name FROM {source} WHERE id = ANY(:ids)"  # noqa: S608 (constants)
        + ("" if projects is None else f" AND {here}"),
        ids=[*ids],
        **({} if projects is None else {"projects": [*projects]}),
    )
    return {row["id"]: row["name"] for row in found}


_MADE_IN: Final = (
    "id IN (SELECT value FROM landscape_facets WHERE field = 'author' AND landscapes > 0"
    " AND value = ANY(:ids) AND project = ANY(:projects))"
)


def names_of_authors(session: Session, ids: Collection[str]) -> dict[str, str]:
    """Of keys that made or changed something which the caller sees: only those may be asked for."""
    return names(session, "author", ids, None)


def aliases_within(session: Session, model_id: str) -> list[tuple[str, str]]:
    """Aliases of a model, its checkpoints and its landscapes: name and target, by name."""
    found = rows(
        session,
        "SELECT a.name, coalesce(a.model_id, a.checkpoint_id, a.landscape_id) AS target"
        " FROM aliases a LEFT JOIN checkpoints c ON c.id = a.checkpoint_id"
        " LEFT JOIN landscapes l ON l.id = a.landscape_id"
        " WHERE coalesce(a.model_id, c.model_id, l.model_id) = :model_id ORDER BY a.name",
        model_id=model_id,
    )
    return [(row["name"], row["target"]) for row in found]


def counts_of_models(session: Session, ids: Collection[str]) -> dict[str, int]:
    """How many landscapes each of these models has."""
    found = rows(
        session,
        "SELECT value, sum(landscapes) AS landscapes FROM landscape_facets"
        " WHERE field = 'model' AND value = ANY(:ids) GROUP BY value",
        ids=[*ids],
    )
    return {row["value"]: int(row["landscapes"]) for row in found}


@dataclass(frozen=True)
class ModelPoint:
    """A landscape's sharpness beside what training said of its checkpoint."""

    landscape_id: str
    model_id: str
    model: str
    sharpness: float
    metrics: Mapping[str, float]


def sharpness_and_metrics(session: Session, project: str) -> list[ModelPoint]:
    """The newest landscapes of a project with a sharpness, and their checkpoints' metrics."""
    value, present = measured("sharpness")
    found = rows(
        session,
        "SELECT l.id, l.model_id, m.name, l.sharpness, c.metrics FROM ("  # noqa: S608 (constants)
        f" SELECT id, model_id, origin, {value} AS sharpness FROM ("
        " SELECT id, model_id, origin, derived FROM landscapes"
        " WHERE project = :project ORDER BY id DESC LIMIT :looked_at) newest"
        f" WHERE {present} ORDER BY id DESC LIMIT :most) l"
        " JOIN models m ON m.id = l.model_id JOIN checkpoints c ON c.id = l.origin"
        " WHERE c.metrics <> '{}'::jsonb ORDER BY l.id",
        project=project,
        looked_at=_LOOKED_AT,
        most=_POINTS,
    )
    return [
        ModelPoint(r["id"], r["model_id"], r["name"], float(r["sharpness"]), r["metrics"])
        for r in found
    ]


def models_named(
    session: Session,
    *,
    projects: Collection[str] | None,
    project: str | None,
    text: str | None,
    cursor: str | None,
    limit: int = DEFAULT_LIMIT,
) -> Page[ModelRecord]:
    """Models, newest first; each word of `text` is part of the name, a tag or the note."""
    conditions, values = _of_projects(Filters(projects=projects, project=project), "")
    for number, word in enumerate((text or "").split()):
        conditions.append(
            f"concat_ws(E'\\n', name, array_to_string(tags, E'\\n'), note) ILIKE :word_{number}"
        )
        values[f"word_{number}"] = f"%{_literally(word)}%"
    if cursor:
        conditions.append("id < :before")
        values["before"] = decode(cursor, str)[0]
    found = records(
        session,
        ModelRecord,
        f"SELECT * FROM models{_where(conditions)} ORDER BY id DESC LIMIT :most",  # noqa: S608
        **values,
        most=bounded(limit) + 1,
    )
    return cut(found, limit, lambda model: (model.id,))
