"""The first page: what was asked, what was found, and the further questions one click away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any, Final
from urllib.parse import urlencode

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from service.catalog import words
from service.domain.ids import DatasetId, DisplayName, KeyId, ModelId, ProjectName, Tag
from service.domain.questions.table import kinds
from service.http.authentication import KeyHolder
from service.ledger import catalog
from service.ledger.catalog import Facets, Filters
from service.ledger.records import LandscapeRecord
from service.ledger.session import Session

ON_A_PAGE: Final = 24

SORTS: Final = (
    ("-created_at", "Newest first"),
    ("created_at", "Oldest first"),
    ("sharpness", "Flattest (sharpness)"),
    ("-sharpness", "Sharpest"),
    ("center_loss", "Lowest loss at the centre"),
    ("minimum", "Lowest minimum"),
    ("barrier", "Lowest barrier"),
    ("-barrier", "Highest barrier"),
    ("-basin_width", "Widest basin"),
    ("roughness", "Smoothest (roughness)"),
    ("-roughness", "Roughest"),
    ("-lambda_max", "Largest eigenvalue"),
)
_TITLES: Final = {
    "project": "Project",
    "kind": "Kind",
    "model": "Model",
    "tag": "Tag",
    "dataset": "Data set",
    "author": "Author",
}

# a form sends what is left empty as an empty string
_Blank = BeforeValidator(lambda value: None if value == "" else value)


class Asked(BaseModel):
    """The page's address, read."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    q: Annotated[DisplayName | None, _Blank] = None
    project: Annotated[ProjectName | None, _Blank] = None
    kind: Annotated[str | None, _Blank] = Field(default=None, pattern="^[a-z]{1,20}$")
    model: Annotated[ModelId | None, _Blank] = None
    tag: Annotated[Tag | None, _Blank] = None
    dataset: Annotated[DatasetId | None, _Blank] = None
    author: Annotated[KeyId | None, _Blank] = None
    since: Annotated[date | None, _Blank] = None
    until: Annotated[date | None, _Blank] = None
    sort: Annotated[str | None, _Blank] = None
    cursor: Annotated[str | None, _Blank] = Field(default=None, max_length=1000)

    def filters(self, caller: KeyHolder) -> Filters:
        """As the ledger takes them. Both days are included."""
        return Filters(
            projects=caller.projects,
            project=self.project,
            model_id=self.model,
            kind=self.kind,
            tag=self.tag,
            dataset=self.dataset,
            author=self.author,
            since=None if self.since is None else _midnight(self.since),
            until=None if self.until is None else _after(self.until),
            text=self.q,
        )

    def given(self) -> dict[str, str]:
        """What is in the address, but the place in the list."""
        body = self.model_dump(mode="json", exclude={"cursor"}, exclude_none=True)
        return {name: str(value) for name, value in body.items()}

    def address(self, **changes: str | None) -> str:
        """The address of the same question with something changed; None leaves it out."""
        return _address({**self.given(), **changes})


@dataclass(frozen=True)
class Choice:
    """A value of a facet, and where choosing it, or letting it go, leads."""

    label: str
    count: int | None
    href: str
    chosen: bool


@dataclass(frozen=True)
class Group:
    """A facet: its values of most landscapes."""

    title: str
    choices: Sequence[Choice]


@dataclass(frozen=True)
class Card:
    """A landscape in a list."""

    landscape: LandscapeRecord
    model: str
    title: str
    described: str
    telling: Sequence[tuple[str, float]]


@dataclass(frozen=True)
class Browsed:
    """All that the page shows.

    Attributes:
        chips: what was asked for, and where each goes without it.
        hidden: what the search form keeps.
    """

    asked: Asked
    cards: Sequence[Card]
    groups: Sequence[Group]
    chips: Sequence[tuple[str, str]]
    hidden: Mapping[str, str]
    matches: int | None
    sampled: bool
    next: str | None
    first: str | None


def browse(session: Session, caller: KeyHolder, asked: Asked) -> Browsed:
    """Raises Problem `invalid_request` for an unknown order or a foreign cursor."""
    filters = asked.filters(caller)
    page = catalog.search(
        session,
        filters,
        sort=asked.sort or "-created_at",
        cursor=asked.cursor,
        limit=ON_A_PAGE,
    )
    counted = catalog.facets(session, filters)
    given = asked.given()
    known = _names(session, caller, counted, page.items, given)
    return Browsed(
        asked=asked,
        cards=cards(page.items, known["model"]),
        groups=_groups(asked, counted, known, catalog.per_project(session, caller.projects)),
        chips=_chips(asked, given, known),
        hidden={n: v for n, v in given.items() if n not in ("q", "sort", "since", "until")},
        matches=counted.matches,
        sampled=counted.sampled,
        next=None if page.next_cursor is None else _address({**given, "cursor": page.next_cursor}),
        first=None if asked.cursor is None else asked.address(),
    )


def cards(landscapes: Sequence[LandscapeRecord], models: Mapping[str, str]) -> list[Card]:
    """Landscapes as lists show them.

    Args:
        models: names by id.
    """
    return [
        Card(
            landscape=one,
            model=models.get(one.model_id, one.model_id),
            title=one.title or f"{models.get(one.model_id, one.model_id)}: {one.kind}",
            described=words.described(
                one.kind, models.get(one.model_id, one.model_id), one.derived
            ),
            telling=words.telling(one.derived),
        )
        for one in landscapes
    ]


def _names(
    session: Session,
    caller: KeyHolder,
    counted: Facets,
    found: Sequence[LandscapeRecord],
    given: Mapping[str, str],
) -> dict[str, dict[str, str]]:
    wanted = {
        field: {facet.value for facet in counted.by_field.get(field, ())}
        | ({given[field]} if field in given else set())
        for field in ("model", "dataset", "author")
    }
    wanted["model"] |= {one.model_id for one in found}
    return {
        field: catalog.names(session, field, ids, caller.projects) for field, ids in wanted.items()
    }


def _groups(
    asked: Asked,
    counted: Facets,
    known: Mapping[str, Mapping[str, str]],
    projects: Sequence[catalog.Facet],
) -> list[Group]:
    given = asked.given()
    # projects are counted whole, which would mislead beside other conditions
    others = bool(given.keys() - {"project", "sort"})
    groups = []
    everything: dict[str, Sequence[catalog.Facet]] = {"project": projects, **counted.by_field}
    for field, title in _TITLES.items():
        chosen = given.get(field)
        values = list(everything.get(field, ()))
        if field == "project" and chosen is not None:
            values = [facet for facet in values if facet.value == chosen]
        if field == "kind":
            values.sort(key=lambda facet: _place(facet.value))
        choices = [
            Choice(
                label=_label(field, facet.value, known),
                count=None if field == "project" and others else facet.count,
                href=asked.address(**{field: None if facet.value == chosen else facet.value}),
                chosen=facet.value == chosen,
            )
            for facet in values
        ]
        if choices:
            groups.append(Group(title, choices))
    return groups


def _chips(
    asked: Asked, given: Mapping[str, str], known: Mapping[str, Mapping[str, str]]
) -> list[tuple[str, str]]:
    found = []
    for name, value in given.items():
        if name == "sort":
            continue
        words_of = {"q": f"“{value}”", "since": f"from {value}", "until": f"to {value}"}
        label = words_of.get(name) or f"{_TITLES[name]}: {_label(name, value, known)}"
        found.append((label, asked.address(**{name: None})))
    return found


def _label(field: str, value: str, known: Mapping[str, Mapping[str, str]]) -> str:
    if field == "kind":
        return words.kind_name(value)
    return known.get(field, {}).get(value, value)


def _place(kind: str) -> int:
    known = kinds()
    return known.index(kind) if kind in known else len(known)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _after(day: date) -> datetime | None:
    """The end of a day; None after the last one that there is, which is no bound."""
    return None if day == date.max else _midnight(day + timedelta(days=1))


def _address(query: Mapping[str, Any]) -> str:
    kept = {name: value for name, value in query.items() if value is not None}
    return "/?" + urlencode(kept) if kept else "/"
