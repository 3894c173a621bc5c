"""Commands of aliases."""

from __future__ import annotations

from itertools import islice
from typing import Annotated

import typer

from lossatlas.aliases import ABSENT
from lossatlas.cli.options import AsJson, connect
from lossatlas.cli.output import result, say, show_json, show_table

app = typer.Typer(help="Names for models, checkpoints and landscapes.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="ALIAS", help="Project and name, as vision/prod.")]
Expected = Annotated[
    str | None,
    typer.Option(
        "--from", help=f"Only if it names this id still; `{ABSENT}`: only if there is none yet."
    ),
]
Limit = Annotated[int, typer.Option("--limit", min=1, help="At most so many.")]


@app.command("set")
def set_alias(
    alias: Name,
    target: Annotated[str, typer.Argument(help="Id of a model, a checkpoint or a landscape.")],
    *,
    note: Annotated[str | None, typer.Option("--note", help="Why, for the history.")] = None,
    expected: Expected = None,
    as_json: AsJson = False,
) -> None:
    """Make an alias, or move it; needs a key with that right."""
    with connect() as client:
        made = client.set_alias(alias, target, note=note, expected=expected)
    if as_json:
        show_json(made)
    else:
        say(f"{made.alias} names {made.target}")
        result(made.target)


@app.command("get")
def get_alias(alias: Name, *, as_json: AsJson = False) -> None:
    """Print what an alias names."""
    with connect() as client:
        found = client.alias(alias)
    if as_json:
        show_json(found)
    else:
        result(found.target)


@app.command("list")
def list_aliases(
    *,
    project: Annotated[str | None, typer.Option("--project", envvar="LOSSATLAS_PROJECT")] = None,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """List aliases, by project and name."""
    with connect() as client:
        found = list(islice(client.aliases(project=project), limit))
    if as_json:
        show_json({"items": [item.model_dump(mode="json") for item in found]})
        return
    rows = [[a.alias, a.target, str(a.revision), f"{a.moved_at:%Y-%m-%d %H:%M}"] for a in found]
    show_table(rows, ["alias", "target", "revision", "moved_at"])


@app.command("history")
def history(alias: Name, *, limit: Limit = 50, as_json: AsJson = False) -> None:
    """List an alias's moves, newest first."""
    with connect() as client:
        found = list(islice(client.alias_history(alias), limit))
    if as_json:
        show_json({"items": [item.model_dump(mode="json") for item in found]})
        return
    rows = [
        [
            str(move.revision),
            f"{move.at:%Y-%m-%d %H:%M}",
            move.by or "-",
            move.from_target or "-",
            move.to_target or "-",
            move.note or "",
        ]
        for move in found
    ]
    show_table(rows, ["revision", "at", "by", "from", "to", "note"])


@app.command("remove")
def remove(alias: Name, *, expected: Expected = None, as_json: AsJson = False) -> None:
    """Remove an alias; its history stays."""
    with connect() as client:
        was = client.remove_alias(alias, expected=expected)
    if as_json:
        show_json(was)
    else:
        say(f"{was.alias} named {was.target}")
