"""One landscape: figure, slices, measures, provenance, and its neighbours."""

from __future__ import annotations

import json
import pprint
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

import numpy as np
from pydantic import BaseModel, ConfigDict

from service.catalog import charts, words
from service.catalog.browsing import Card, cards
from service.catalog.charts import Chart, Line
from service.domain.cells import CellStatus
from service.domain.counted import Counted, samples_in_words
from service.domain.definitions import outdated
from service.domain.problems import Problem
from service.domain.questions.trajectory.result import Trajectory
from service.domain.results import DatasetGrid, GridResult
from service.figures import VIEWS, views_of
from service.http.authentication import KeyHolder
from service.http.services import Services
from service.inputs import lookup
from service.landscapes.results import arrays_of
from service.ledger import catalog, checkpoints, datasets, edits, models
from service.ledger.catalog import Filters
from service.ledger.records import CheckpointRecord, DatasetRecord, LandscapeRecord, ModelRecord
from service.ledger.session import Session

SIBLINGS: Final = 6
#: A view beside those of figures: the surface to turn.
TURN: Final = "turn"
#: As many cells as an interactive page takes, and as slices are cut from.
MOST_CELLS: Final = 250_000

_VIEWS: Final = {**{view.value: rule.label for view, rule in VIEWS.items()}, TURN: "Turn in 3-D"}
_PROVENANCE: Final = (
    ("engine", "Engine"),
    ("dtype", "Precision"),
    ("device", "Device"),
    ("batch_size", "Batch size"),
    ("buffers", "Running statistics"),
    ("orthogonalised", "Second direction orthogonalised"),
    ("cosine", "Cosine of the directions"),
    ("definitions", "Definitions"),
)


class Shown(BaseModel):
    """Which figure the address asks for; what does not fit is the usual one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    view: str | None = None
    dataset: str | None = None
    metric: str | None = None


@dataclass(frozen=True)
class Switch:
    """One of several figures."""

    label: str
    href: str
    chosen: bool


@dataclass(frozen=True)
class Figure:
    """Addresses of the figure in both themes and of larger ones, and the words for it.

    Attributes:
        narrow_light, narrow_dark: laid out for a telephone.
        turning: the surface to turn is shown in its place.
    """

    light: str
    dark: str
    narrow_light: str
    narrow_dark: str
    svg: str
    described: str
    turning: bool


@dataclass(frozen=True)
class MeasureRow:
    """A measure over all data sets."""

    name: str
    definition: str
    cells: Sequence[str]


@dataclass(frozen=True)
class Redo:
    """How to have it computed again."""

    curl: str
    python: str


@dataclass(frozen=True)
class LandscapePage:
    """All that the page shows."""

    card: Card
    landscape: LandscapeRecord
    model: ModelRecord
    author: str | None
    origin: CheckpointRecord | None
    target: CheckpointRecord | None
    datasets: Sequence[DatasetRecord]
    figure: Figure
    switches: Sequence[tuple[str, Sequence[Switch]]]
    slices: Sequence[Chart]
    slice_dataset: str | None
    measured_on: Sequence[str]
    measures: Sequence[MeasureRow]
    facts: Sequence[tuple[str, str]]
    directions: Sequence[tuple[str, Mapping[str, Any], str]]
    redo: Redo
    outdated: str | None
    siblings: Sequence[Card]
    history: Sequence[tuple[Any, str]]
    may_edit: bool


def landscape_page(
    services: Services, session: Session, caller: KeyHolder, identity: str, shown: Shown
) -> LandscapePage:
    """Raises Problem `not_found`."""
    one = lookup.landscape(session, caller, identity)
    model = models.get(session, one.model_id)
    if model is None:
        raise lookup.absent(one.model_id, None)
    siblings = [
        sibling
        for sibling in catalog.search(
            session,
            Filters(projects=caller.projects, model_id=one.model_id),
            limit=SIBLINGS + 1,
        ).items
        if sibling.id != one.id
    ][:SIBLINGS]
    target = one.spec.get("target")
    ends = checkpoints.for_ids(session, [i for i in (one.origin, target) if isinstance(i, str)])
    found = datasets.for_ids(session, one.spec.get("datasets", []))
    history = edits.of_entity(session, one.id)
    people = catalog.names_of_authors(
        session, {e.key_id for e in history if e.key_id} | {one.created_by or ""}
    )
    result = _result(services, one)
    figure, switches = _figures(one, model.name, result, shown)
    return LandscapePage(
        card=cards([one], {model.id: model.name})[0],
        landscape=one,
        model=model,
        author=people.get(one.created_by or ""),
        origin=ends.get(one.origin or ""),
        target=ends.get(str(target)),
        datasets=[found[i] for i in one.spec.get("datasets", []) if i in found],
        figure=figure,
        switches=switches,
        slices=() if result is None or figure.turning else slices_of(result, shown.dataset),
        slice_dataset=None if result is None else _dataset(result, shown.dataset).name,
        measured_on=tuple(one.derived.get("datasets", {})),
        measures=measures_of(one.derived),
        facts=_facts(one.provenance),
        directions=_directions(one.provenance),
        redo=redo_of(one.spec),
        outdated=outdated(one.provenance),
        siblings=cards(siblings, {model.id: model.name}),
        history=[(edit, people.get(edit.key_id or "", "somebody")) for edit in history],
        may_edit=caller.can_submit(one.project),
    )


def slices_of(result: GridResult, dataset: str | None = None) -> list[Chart]:
    """The loss through the middle of a plane, along each axis; nothing for what is no plane."""
    if result.y is None or result.status.size > MOST_CELLS:
        return []
    grid = _dataset(result, dataset)
    loss = np.where(grid.status == CellStatus.OK, grid.loss, np.nan)
    known = loss[np.isfinite(loss)]
    if not known.size:
        return []
    y = charts.y_scale([float(known.min()), float(known.max())])
    middle = int(np.abs(result.y).argmin()), int(np.abs(result.x).argmin())
    first, second = ("α", "β") if Trajectory.of(result) is None else ("PC 1", "PC 2")
    along = (
        (first, result.x, loss[middle[0], :], second, float(result.y[middle[0]])),
        (second, result.y, loss[:, middle[1]], first, float(result.x[middle[1]])),
    )
    made = []
    for name, axis, values, other, at in along:
        x = charts.x_scale(axis.tolist())
        pairs = list(zip(axis.tolist(), values.tolist(), strict=True))
        heard = [value for _, value in pairs if np.isfinite(value)]
        span = (
            f"from {words.number(min(heard))} to {words.number(max(heard))}" if heard else "nothing"
        )
        made.append(
            Chart(
                label=f"Loss on {grid.name} along {name} at {other} = {words.number(at)}: {span}.",
                x_name=name,
                y_name="loss",
                x=x,
                y=y,
                lines=(Line(name, charts.polyline(x, y, pairs), 0),),
            )
        )
    return made


def measures_of(derived: Mapping[str, Any]) -> list[MeasureRow]:
    """A row for each measure, a cell for each data set."""
    by_dataset: Mapping[str, Mapping[str, Any]] = derived.get("datasets", {})
    names: dict[str, str] = {}
    for measures in by_dataset.values():
        for name, measure in measures.items():
            if isinstance(measure, Mapping) and "definition" in measure:
                names.setdefault(name, str(measure["definition"]))
    return [
        MeasureRow(
            words.measure_name(name),
            definition,
            [_cell(measures.get(name)) for measures in by_dataset.values()],
        )
        for name, definition in names.items()
    ]


def redo_of(spec: Mapping[str, Any]) -> Redo:
    """The same question, to be put again."""
    asked = {**spec, "force": True}
    body = json.dumps(asked, indent=2, ensure_ascii=False)
    quoted = body.replace("'", "'\\''")
    literal = pprint.pformat(asked, width=88, sort_dicts=False)
    return Redo(
        curl='curl -sS "$LOSSATLAS_URL/v1/jobs" \\\n'
        '  -H "Authorization: Bearer $LOSSATLAS_KEY" \\\n'
        '  -H "Content-Type: application/json" \\\n'
        f"  -d '{quoted}'",
        python="import lossatlas\n\n"
        "client = lossatlas.Client()  # LOSSATLAS_URL and LOSSATLAS_KEY\n"
        f"job = client.submit(\n{_indented(literal)}\n)\n"
        "landscape = job.wait()",
    )


def _result(services: Services, one: LandscapeRecord) -> GridResult | None:
    """The arrays; None where they cannot be read now, for the page is of use without them."""
    try:
        return arrays_of(services, one)
    except Problem:
        return None


def _dataset(result: GridResult, name: str | None) -> DatasetGrid:
    return next((d for d in result.datasets if d.name == name), result.datasets[0])


def _figures(
    one: LandscapeRecord, model: str, result: GridResult | None, shown: Shown
) -> tuple[Figure, list[tuple[str, list[Switch]]]]:
    views = [] if result is None else [view.value for view in views_of(result)]
    plane = result is not None and result.y is not None
    if plane and result is not None and result.status.size <= MOST_CELLS:
        views.append(TURN)
    chosen: dict[str, str] = {}
    if shown.view in views:
        chosen["view"] = str(shown.view)
    sets = [] if result is None else [d.name for d in result.datasets]
    if shown.dataset in sets:
        chosen["dataset"] = str(shown.dataset)
    metrics = [] if result is None else _metrics(_dataset(result, shown.dataset))
    if shown.metric in metrics:
        chosen["metric"] = str(shown.metric)
    here = f"/landscapes/{one.id}"

    def switch(field: str, value: str, label: str, usual: bool) -> Switch:
        query = {**chosen, field: value}
        is_chosen = chosen.get(field) == value or (field not in chosen and usual)
        return Switch(label, f"{here}?{urlencode(query)}#figure", is_chosen)

    groups = [
        ("View", [switch("view", v, _VIEWS.get(v, v), v == views[0]) for v in views]),
        ("Data set", [switch("dataset", d, d, d == sets[0]) for d in sets] if plane else []),
        ("Metric", [switch("metric", m, m.replace("_", " "), m == "loss") for m in metrics]),
    ]
    turning = chosen.get("view") == TURN
    query = {k: v for k, v in chosen.items() if (k, v) != ("view", TURN)}
    base = f"/v1/landscapes/{one.id}/figure"
    # a relief's many faces are less as pixels than as lines
    many = [view.value for view, rule in VIEWS.items() if rule.many_faces]
    narrow = "png" if chosen.get("view") in many else "svg"

    def address(kind: str, theme: str, width: int) -> str:
        return f"{base}.{kind}?{urlencode({**query, 'theme': theme, 'width': width})}"

    return (
        Figure(
            light=address("png", "light", 1600),
            dark=address("png", "dark", 1600),
            narrow_light=address(narrow, "light", 480),
            narrow_dark=address(narrow, "dark", 480),
            svg=f"{base}.svg?{urlencode(query)}" if query else f"{base}.svg",
            described=words.described(one.kind, model, one.derived),
            turning=turning,
        ),
        [(title, switches) for title, switches in groups if len(switches) > 1],
    )


def _metrics(grid: DatasetGrid) -> list[str]:
    return ["loss", *([] if grid.accuracy is None else ["accuracy"]), *grid.extra]


def _cell(measure: Mapping[str, Any] | None) -> str:
    if measure is None:
        return "–"
    value = measure.get("value")
    if value is None:
        return f"none: {measure.get('reason', 'undefined here')}"
    text = words.number(float(value))
    if measure.get("stderr") is not None:
        text += f" ± {words.number(float(measure['stderr']))}"
    return text


def _facts(provenance: Mapping[str, Any]) -> list[tuple[str, str]]:
    found = []
    for key, label in _PROVENANCE:
        value = provenance.get(key)
        if value is None:
            continue
        if isinstance(value, bool):
            text = "yes" if value else "no"
        else:
            text = words.number(value) if isinstance(value, int | float) else str(value)
        found.append((label, text))
    samples = provenance.get("samples")
    if isinstance(samples, Mapping):
        counted = provenance.get("counted") or {}
        said = (
            f"{name}: {samples_in_words(n, Counted.of_json(n, counted.get(name)))}"
            for name, n in samples.items()
        )
        found.append(("Samples", ", ".join(said)))
    seconds = (provenance.get("timings") or {}).get("tiles_seconds")
    if isinstance(seconds, int | float):
        found.append(("Time in workers", words.duration(float(seconds))))
    return found


def _directions(provenance: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any], str]]:
    planned = provenance.get("directions") or {}
    found: list[tuple[str, Mapping[str, Any], str]] = []
    for axis, entry in planned.items():
        spec = {k: v for k, v in (entry.get("spec") or {}).items() if k != "checkpoints"}
        norm = entry.get("norm")
        text = "" if norm is None else f"norm {words.number(float(norm))}"
        found.append((axis, {"id": entry.get("id"), **spec}, text))
    return found


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())
