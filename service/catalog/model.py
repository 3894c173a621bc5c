"""Models: the list, and one with its training, its landscapes and its place among others."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from service.catalog import charts, words
from service.catalog.browsing import Card, cards
from service.catalog.charts import Chart, Line, Mark
from service.domain.ids import DisplayName, ProjectName
from service.http.authentication import KeyHolder
from service.inputs import lookup
from service.ledger import catalog, checkpoints, edits
from service.ledger.catalog import Facet, Filters, ModelPoint
from service.ledger.records import CheckpointRecord, ModelRecord
from service.ledger.session import Session

ON_A_PAGE: Final = 50
#: Landscapes of a model that its page shows, the newest.
SHOWN: Final = 48
#: Curves of one chart.
MOST_LINES: Final = 4
MOST_PLATES: Final = 4
_SHARE: Final = re.compile(r"err|acc|recall|precision|f1")
_Points = list[tuple[float, float | None]]
#: What training says of the error on held-out data, the first that is there; accuracies are
#: turned round.
_ERRORS: Final = ("test_error", "val_error", "validation_error", "test_err", "val_err")
_ACCURACIES: Final = ("test_accuracy", "val_accuracy", "validation_accuracy", "test_acc", "val_acc")

_Blank = BeforeValidator(lambda value: None if value == "" else value)


class ModelsAsked(BaseModel):
    """The list's address, read."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    q: Annotated[DisplayName | None, _Blank] = None
    project: Annotated[ProjectName | None, _Blank] = None
    cursor: Annotated[str | None, _Blank] = Field(default=None, max_length=1000)


@dataclass(frozen=True)
class ModelList:
    """A page of models."""

    asked: ModelsAsked
    models: Sequence[tuple[ModelRecord, int]]
    projects: Sequence[Facet]
    next_cursor: str | None


@dataclass(frozen=True)
class ModelPage:
    """All that the page shows."""

    model: ModelRecord
    author: str | None
    checkpoints: Sequence[CheckpointRecord]
    metrics: Sequence[str]
    training: Sequence[Chart]
    landscapes: Sequence[Card]
    more_landscapes: bool
    over_time: Chart | None
    against_error: Chart | None
    error_name: str
    aliases: Sequence[tuple[str, str]]
    history: Sequence[tuple[Any, str]]
    may_edit: bool


def model_list(session: Session, caller: KeyHolder, asked: ModelsAsked) -> ModelList:
    """Raises Problem `invalid_request` for a foreign cursor."""
    page = catalog.models_named(
        session,
        projects=caller.projects,
        project=asked.project,
        text=asked.q,
        cursor=asked.cursor,
        limit=ON_A_PAGE,
    )
    counted = catalog.counts_of_models(session, [model.id for model in page.items])
    return ModelList(
        asked,
        [(model, counted.get(model.id, 0)) for model in page.items],
        catalog.per_project(session, caller.projects),
        page.next_cursor,
    )


def model_page(session: Session, caller: KeyHolder, identity: str) -> ModelPage:
    """Raises Problem `not_found`."""
    model = lookup.model(session, caller, identity)
    known = checkpoints.all_of(session, model.id)
    found = catalog.search(
        session, Filters(projects=caller.projects, model_id=model.id), limit=SHOWN
    )
    history = edits.of_entity(session, model.id)
    people = catalog.names_of_authors(
        session, {e.key_id for e in history if e.key_id} | {model.created_by or ""}
    )
    listed = cards(found.items, {model.id: model.name})
    against, error_name = against_error(
        catalog.sharpness_and_metrics(session, model.project), model.id
    )
    return ModelPage(
        model=model,
        author=people.get(model.created_by or ""),
        checkpoints=known,
        metrics=sorted({name for one in known for name in one.metrics}),
        training=training(known),
        landscapes=listed,
        more_landscapes=found.next_cursor is not None,
        over_time=over_time(listed),
        against_error=against,
        error_name=error_name,
        aliases=catalog.aliases_within(session, model.id),
        history=[(edit, people.get(edit.key_id or "", "somebody")) for edit in history],
        may_edit=caller.can_submit(model.project),
    )


def training(known: Sequence[CheckpointRecord]) -> list[Chart]:
    """What training said of the checkpoints, losses and other numbers on plates of their own."""
    at, name = _progress(known)
    by_metric: dict[str, _Points] = {}
    for place, one in zip(at, known, strict=True):
        for metric, value in one.metrics.items():
            by_metric.setdefault(metric, []).append((place, float(value)))
    several = {m: points for m, points in by_metric.items() if len(points) > 1}
    made = []
    for label, group in _plates(several):
        shown = dict(sorted(group.items())[:MOST_LINES])
        values = [value for points in shown.values() for _, value in points if value is not None]
        x, y = (
            charts.x_scale([p for points in shown.values() for p, _ in points]),
            charts.y_scale(values),
        )
        ends = "; ".join(
            f"{metric} from {words.number(points[0][1])} to {words.number(points[-1][1])}"
            for metric, points in shown.items()
        )
        made.append(
            Chart(
                label=f"Training: {ends}.",
                x_name=name,
                y_name=label,
                x=x,
                y=y,
                lines=[
                    Line(metric, charts.polyline(x, y, points), place)
                    for place, (metric, points) in enumerate(shown.items())
                ],
            )
        )
    return made


def _plates(metrics: Mapping[str, _Points]) -> list[tuple[str, dict[str, _Points]]]:
    """Losses together, errors and accuracies together, and of the others each by itself."""
    losses = {m: points for m, points in metrics.items() if "loss" in m.lower()}
    shares = {m: p for m, p in metrics.items() if m not in losses and _SHARE.search(m.lower())}
    alone = [m for m in metrics if m not in losses and m not in shares]
    kinds = {"error" if "err" in m.lower() else "accuracy" for m in shares}
    share = kinds.pop() if len(kinds) == 1 else "share"
    plates = [("loss", losses), (share, shares), *((m, {m: metrics[m]}) for m in alone)]
    return [(label, group) for label, group in plates if group][:MOST_PLATES]


def over_time(listed: Sequence[Card]) -> Chart | None:
    """Sharpness of the model's landscapes in the order in which they were made."""
    points = [
        (card, value)
        for card in reversed(listed)
        if (value := words.value_of(card.landscape.derived, "sharpness")) is not None
    ]
    if len(points) < 2:
        return None
    x = charts.x_scale([1.0, float(len(points))], room=True, whole=True)
    y = charts.y_scale([value for _, value in points], room=True)
    return Chart(
        label=f"Sharpness of {len(points)} landscapes of this model, oldest first: from "
        f"{words.number(points[0][1])} to {words.number(points[-1][1])}.",
        x_name="landscapes, oldest first",
        y_name="sharpness",
        x=x,
        y=y,
        marks=[
            Mark(
                x.at(float(place + 1)),
                y.at(value),
                f"{card.title}: sharpness {words.number(value)}",
                f"/landscapes/{card.landscape.id}",
                emphasised=True,
            )
            for place, (card, value) in enumerate(points)
        ],
    )


def against_error(points: Sequence[ModelPoint], model_id: str) -> tuple[Chart | None, str]:
    """Sharpness against the error on held-out data over the project, this model's marked."""
    name = next((n for n in _ERRORS + _ACCURACIES if any(n in p.metrics for p in points)), None)
    if name is None:
        return None, ""
    turned = name in _ACCURACIES
    error_name = f"1 − {name.replace('_', ' ')}" if turned else name.replace("_", " ")
    known = [(p, _error(p.metrics, name, turned)) for p in points if name in p.metrics]
    if len(known) < 2:
        return None, error_name
    x = charts.x_scale([p.sharpness for p, _ in known], log=None, room=True)
    y = charts.y_scale([error for _, error in known], room=True)
    return (
        Chart(
            label=f"{error_name} against sharpness for {words.count(len(known), 'landscape')} of "
            f"this project, {sum(p.model_id == model_id for p, _ in known)} of this model.",
            x_name="sharpness",
            y_name=error_name,
            x=x,
            y=y,
            marks=[
                Mark(
                    x.at(p.sharpness),
                    y.at(error),
                    f"{p.model}: sharpness {words.number(p.sharpness)}, "
                    f"{error_name} {words.number(error)}",
                    f"/landscapes/{p.landscape_id}",
                    emphasised=p.model_id == model_id,
                )
                for p, error in known
            ],
        ),
        error_name,
    )


def _error(metrics: Mapping[str, float], name: str, turned: bool) -> float:
    value = float(metrics[name])
    if not turned:
        return value
    # accuracies come as fractions or as per cent
    return (100.0 - value) / 100.0 if value > 1.0 else 1.0 - value


def _progress(known: Sequence[CheckpointRecord]) -> tuple[list[float], str]:
    """Where checkpoints stand in training: by epoch, by step, or in order."""
    epochs = [one.epoch for one in known]
    if known and all(epoch is not None for epoch in epochs):
        return [float(epoch or 0.0) for epoch in epochs], "epoch"
    steps = [one.step for one in known]
    if known and all(step is not None for step in steps):
        return [float(step or 0) for step in steps], "step"
    return [float(one.seq) for one in known], "checkpoint"
