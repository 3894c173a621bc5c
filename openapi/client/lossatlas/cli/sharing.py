"""Commands of links to figures."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import typer

from lossatlas.cli.options import AsJson, ViewOption, connect
from lossatlas.cli.output import result, say, show_json


def share(
    landscape: Annotated[str, typer.Argument(help="Id of a landscape, or of its job.")],
    *,
    days: Annotated[float, typer.Option("--days", min=0.001, max=90, help="Until it ends.")] = 7.0,
    view: ViewOption = None,
    metric: Annotated[str | None, typer.Option("--metric", help="loss, accuracy, …")] = None,
    as_json: AsJson = False,
) -> None:
    """Print a link to a landscape's picture, for people without a key.

    An administrator has to turn links on for the project.
    """
    with connect() as client:
        found = client.landscape(landscape)
        made = client.share(
            found,
            expires_in=timedelta(days=days),
            view=None if view is None else view.value,
            metric=metric,
        )
    if as_json:
        show_json(made)
    else:
        say(f"until {made.expires_at:%Y-%m-%d %H:%M}; end it with: lossatlas unshare {made.id}")
        result(made.url)


def unshare(
    share: Annotated[str, typer.Argument(help="Id of the link, shr_….")], *, as_json: AsJson = False
) -> None:
    """End a link to a picture, at once and for good."""
    with connect() as client:
        ended = client.unshare(share)
    if as_json:
        show_json(ended)
    else:
        say(f"{ended.id} has ended")
