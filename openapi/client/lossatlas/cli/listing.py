"""The command that lists what is there."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from itertools import islice
from typing import Annotated, Any

import typer

from lossatlas.cli.options import AsJson, connect
from lossatlas.cli.output import show_json, show_table
from lossatlas.client import Client
from lossatlas.errors import InputError


class What(StrEnum):
    """Kinds of things."""

    models = "models"
    checkpoints = "checkpoints"
    datasets = "datasets"
    jobs = "jobs"
    landscapes = "landscapes"
    checks = "checks"


_COLUMNS: dict[What, tuple[str, ...]] = {
    What.models: ("id", "project", "name", "loss", "state", "created_at"),
    What.checkpoints: ("id", "seq", "step", "epoch", "label", "created_at"),
    What.datasets: ("id", "project", "name", "split", "samples", "created_at"),
    What.jobs: ("id", "project", "kind", "state", "landscape", "created_at"),
    What.landscapes: ("id", "project", "kind", "model", "tags", "created_at"),
    What.checks: ("id", "project", "verdict", "landscape", "created_at"),
}
_FILTERS: dict[What, frozenset[str]] = {
    What.models: frozenset({"project", "state", "tag"}),
    What.checkpoints: frozenset({"model"}),
    What.datasets: frozenset({"project"}),
    What.jobs: frozenset({"project", "model", "kind", "state"}),
    What.landscapes: frozenset({"project", "model", "kind", "tag"}),
    What.checks: frozenset({"project"}),
}


def list_things(
    what: Annotated[What, typer.Argument()] = What.landscapes,
    *,
    project: Annotated[str | None, typer.Option("--project", envvar="LOSSATLAS_PROJECT")] = None,
    model: Annotated[str | None, typer.Option("--model", help="Id.")] = None,
    kind: Annotated[str | None, typer.Option("--kind", help="surface, interpolation")] = None,
    state: Annotated[str | None, typer.Option("--state")] = None,
    tag: Annotated[str | None, typer.Option("--tag")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List what is there, newest first (checkpoints in their model's order)."""
    given = {"project": project, "model": model, "kind": kind, "state": state, "tag": tag}
    if what is What.checkpoints:
        given["project"] = None  # the model names it already
        if model is None:
            raise InputError("list checkpoints of which model? give --model")
    filters = {name: value for name, value in given.items() if value is not None}
    for name in filters:
        if name not in _FILTERS[what]:
            raise InputError(f"{what.value} cannot be filtered by --{name}")
    with connect() as client:
        items = list(islice(_items(client, what, filters, limit), limit))
    if as_json:
        show_json({"items": items})
        return
    columns = _COLUMNS[what]
    show_table([[_cell(item.get(name)) for name in columns] for item in items], columns)


def _items(
    client: Client, what: What, filters: dict[str, str], limit: int
) -> Iterable[dict[str, Any]]:
    path = f"/v1/{what.value}"
    if what is What.checkpoints:
        path = f"/v1/models/{filters.pop('model')}/checkpoints"
    return client.items(path, {**filters, "limit": min(limit, 200)})


def _cell(value: Any) -> str:
    if value is None or value == []:
        return "-"
    if isinstance(value, list):
        return ",".join(str(item) for item in value)
    text = str(value)
    try:
        moment = datetime.fromisoformat(text) if "T" in text and "-" in text else None
    except ValueError:
        moment = None
    return text if moment is None else moment.astimezone().strftime("%Y-%m-%d %H:%M")
