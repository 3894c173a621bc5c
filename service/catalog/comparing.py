"""Landscapes side by side, on one scale of colours and under one camera."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import urlencode

import numpy as np
from numpy.typing import NDArray

from service.catalog import words
from service.catalog.browsing import Card, cards
from service.catalog.landscape import Switch
from service.domain.cells import CellStatus
from service.domain.ids import is_id
from service.domain.problems import Problem
from service.domain.results import DatasetGrid, GridResult
from service.http.authentication import KeyHolder
from service.http.services import Services
from service.inputs import lookup
from service.landscapes.differences import why_not
from service.landscapes.results import arrays_of
from service.ledger import catalog
from service.ledger.records import LandscapeRecord
from service.ledger.session import Session

FEWEST: Final = 2
MOST: Final = 6
TURN: Final = "turn"
_PLANES: Final = (
    ("contour", "Contours"),
    ("filled", "Filled"),
    ("heatmap", "Heat maps"),
    ("surface", "Relief"),
    (TURN, "Turn in 3-D"),
)


@dataclass(frozen=True)
class Side:
    """One of those compared."""

    card: Card
    light: str
    dark: str
    letter: str


@dataclass(frozen=True)
class Difference:
    """Two of the same grid and data: what the second is above the first."""

    title: str
    light: str
    dark: str
    described: str


@dataclass(frozen=True)
class ComparePage:
    """All that the page shows; without enough landscapes only the way to choose some.

    Attributes:
        scale: the ends that all figures share, in words.
        together: figure of all lines on the same axes, light and dark.
        notes: why something is not shown.
    """

    sides: Sequence[Side]
    address: str
    views: Sequence[Switch] = ()
    turning: bool = False
    scale: str | None = None
    together: tuple[str, str] | None = None
    differences: Sequence[Difference] = ()
    notes: Sequence[str] = ()
    table: Sequence[tuple[str, str, Sequence[str]]] = ()


def compare(
    services: Services, session: Session, caller: KeyHolder, given: Sequence[str], view: str | None
) -> ComparePage:
    """Compares what the address names.

    Raises:
        Problem: `not_found`, `invalid_request` for what is no id or too many.
    """
    ids = list(dict.fromkeys(part for text in given for part in text.split(",") if part))
    for identity in ids:
        if not is_id("lsc", identity):
            raise Problem("invalid_request", f"{identity[:60]!r} is no landscape", pointer="/ids")
    if len(ids) > MOST:
        raise Problem(
            "invalid_request",
            f"{len(ids)} are too many to look at; compare at most {MOST}",
            pointer="/ids",
        )
    found = [lookup.landscape(session, caller, identity) for identity in ids]
    address = f"/compare?ids={','.join(ids)}" if ids else "/compare"
    names = catalog.names(session, "model", {one.model_id for one in found}, caller.projects)
    listed = cards(found, names)
    if len(found) < FEWEST:
        return ComparePage([_plain(card, k) for k, card in enumerate(listed)], address)
    results = [arrays_of(services, one) for one in found]
    table = _table(found)
    page = _page(found, listed, results, address, table, view)
    return replace(page, notes=[*_versions(found), *page.notes])


def _page(
    found: Sequence[LandscapeRecord],
    listed: Sequence[Card],
    results: Sequence[GridResult],
    address: str,
    table: Sequence[tuple[str, str, Sequence[str]]],
    view: str | None,
) -> ComparePage:
    if all(result.y is not None for result in results):
        return _planes(found, listed, results, address, table, view)
    if all(result.y is None and len(result.x) > 1 for result in results):
        beside = [("beside", one.id) for one in found[1:]]
        base = f"/v1/landscapes/{found[0].id}/figure.png?"
        light, dark = (
            base + urlencode([*beside, ("theme", theme), ("width", "1600")])
            for theme in ("light", "dark")
        )
        sides = [_plain(card, k) for k, card in enumerate(listed)]
        return ComparePage(sides, address, table=table, together=(light, dark))
    note = (
        "These are of different shapes (planes, lines or points), so each has a scale of its own."
    )
    sides = [_plain(card, k) for k, card in enumerate(listed)]
    return ComparePage(sides, address, table=table, notes=(note,))


def _versions(found: Sequence[LandscapeRecord]) -> list[str]:
    """What the measures of these cannot tell, where their definitions differ."""
    names = [str(one.provenance.get("definitions")) for one in found]
    if len(set(names)) < 2:
        return []
    said = ", ".join(f"{_letter(place)} {name}" for place, name in enumerate(names))
    return [
        f"Computed under different definitions ({said}), so that equal names may mean different "
        "numbers. Compute the older ones again before comparing."
    ]


def _planes(
    found: Sequence[LandscapeRecord],
    listed: Sequence[Card],
    results: Sequence[GridResult],
    address: str,
    table: Sequence[tuple[str, str, Sequence[str]]],
    view: str | None,
) -> ComparePage:
    chosen = view if view in dict(_PLANES) else "filled"
    grids = [result.datasets[0] for result in results]
    metric = "ratio" if all("ratio" in grid.extra for grid in grids) else "loss"
    known = np.concatenate([_values(grid, metric) for grid in grids])
    query: dict[str, str] = {"metric": metric, "width": "1000"}
    scale = None
    if known.size and known.min() < known.max():
        low, high = float(known.min()), float(known.max())
        log = metric == "loss" and low > 0 and high / low > 100
        query |= {"vmin": repr(low), "vmax": repr(high), "log": str(log).lower()}
        scale = f"{words.number(low)} to {words.number(high)}" + (", logarithmic" if log else "")
    query["view"] = "filled" if chosen == TURN else chosen
    sides = []
    for place, card in enumerate(listed):
        base = f"/v1/landscapes/{card.landscape.id}/figure.png?{urlencode(query)}"
        sides.append(Side(card, f"{base}&theme=light", f"{base}&theme=dark", _letter(place)))
    differences, notes = [], []
    for place in range(1, len(found)):
        why = why_not(results[0], results[place], found[0], found[place])
        pair = f"{_letter(place)} − {_letter(0)}"
        if why is None:
            differences.append(_difference(found[0], found[place], results, place, pair))
        else:
            notes.append(f"No difference {pair}: {why}.")
    return ComparePage(
        sides,
        address,
        views=[Switch(label, f"{address}&view={name}", name == chosen) for name, label in _PLANES],
        turning=chosen == TURN,
        scale=scale,
        differences=differences,
        notes=notes,
        table=table,
    )


def _difference(
    first: LandscapeRecord,
    other: LandscapeRecord,
    results: Sequence[GridResult],
    place: int,
    pair: str,
) -> Difference:
    a, b = results[0].datasets[0], results[place].datasets[0]
    ok = (a.status == CellStatus.OK) & (b.status == CellStatus.OK)
    values = b.loss[ok] - a.loss[ok]
    said = (
        f"from {words.number(float(values.min()))} to {words.number(float(values.max()))}, "
        f"{words.number(float(values.mean()))} in the mean"
        if values.size
        else "no cell has a value in both"
    )
    base = f"/v1/landscapes/{other.id}/difference.png?subtract={first.id}&width=1000"
    return Difference(
        pair, f"{base}&theme=light", f"{base}&theme=dark", f"Loss difference {pair}: {said}."
    )


def _values(grid: DatasetGrid, metric: str) -> NDArray[np.float64]:
    values = grid.loss if metric == "loss" else grid.extra[metric]
    known: NDArray[np.float64] = values[(grid.status == CellStatus.OK) & np.isfinite(values)]
    return known


def _plain(card: Card, place: int) -> Side:
    base = f"/v1/landscapes/{card.landscape.id}/figure.png?width=1000"
    return Side(card, f"{base}&theme=light", f"{base}&theme=dark", _letter(place))


def _letter(place: int) -> str:
    return "ABCDEF"[place]


def _table(found: Sequence[LandscapeRecord]) -> list[tuple[str, str, list[str]]]:
    """Measures at the first data set of each: name, definition, values."""
    names: dict[str, str] = {}
    for one in found:
        for name, measure in one.derived.items():
            if isinstance(measure, Mapping) and "definition" in measure:
                names.setdefault(name, str(measure["definition"]))
    return [
        (words.measure_name(name), definition, [_cell(one.derived, name) for one in found])
        for name, definition in names.items()
    ]


def _cell(derived: Mapping[str, Any], name: str) -> str:
    value = words.value_of(derived, name)
    return "–" if value is None else words.number(value)
