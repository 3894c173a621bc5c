"""How things look in a notebook: small tables of HTML, escaped, in the notebook's own colours.

Says whether this is a notebook, and shows HTML in one. Knows values by their fields only.
"""

from __future__ import annotations

import base64
import html
import importlib
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from lossatlas import printable

#: A table has so many rows at most.
SHOWN: Final = 20
#: The columns of a list's table: those of these that its items have.
_COLUMNS: Final = (
    "id", "name", "title", "label", "kind", "state", "split", "samples", "step", "epoch",
    "learning_rate", "loss", "tags", "created_at",
)  # fmt: skip
#: What one thing's table leaves out: long, or for machines.
_HIDDEN: Final = frozenset({"spec", "provenance", "signature", "derived", "directions", "priority"})
_LONGEST: Final = 80


def in_notebook() -> bool:
    """Whether a Jupyter kernel runs this; IPython is not imported for the question."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return shell is not None and getattr(shell, "kernel", None) is not None


def shown(text: str) -> Any:
    """Shows HTML in the cell that runs; a handle for `replace`."""
    return _ipython().display(as_html(text), raw=True, display_id=True)


def replace(handle: Any, text: str) -> None:
    """Replaces what `shown` showed."""
    handle.update(as_html(text), raw=True)


def as_html(text: str) -> dict[str, str]:
    """HTML as a notebook displays it, with words for where it cannot."""
    return {"text/html": text, "text/plain": "shown as HTML"}


def card(title: str, rows: Mapping[str, Any], below: str = "") -> str:
    """One thing: its title and its facts, and HTML to go below them."""
    cells = "".join(
        f'<tr><th style="text-align:left">{_escaped(name)}</th>'
        f'<td style="text-align:left">{_escaped(value)}</td></tr>'
        for name, value in rows.items()
        if value not in (None, "", (), [], {})
    )
    return (
        f"<div><strong>{_escaped(title)}</strong><table><tbody>{cells}</tbody></table>{below}</div>"
    )


def card_of(thing: Any) -> str:
    """A value's card, from its fields."""
    fields = fields_of(thing)
    name = fields.get("name") or fields.get("title") or fields.get("label") or ""
    title = f"{type(thing).__name__} {name}".rstrip()
    return card(title, {k: v for k, v in fields.items() if k not in _HIDDEN})


def table_of(things: Sequence[Any]) -> str:
    """Rows of things of one kind, the first of them when there are many."""
    if not things:
        return "<em>nothing</em>"
    rows = [fields_of(thing) for thing in things[:SHOWN]]
    columns = [c for c in _COLUMNS if any(row.get(c) not in (None, (), "") for row in rows)]
    head = "".join(f'<th style="text-align:left">{_escaped(c)}</th>' for c in columns)
    body = "".join(
        "<tr>"
        + "".join(f'<td style="text-align:left">{_escaped(row.get(c))}</td>' for c in columns)
        + "</tr>"
        for row in rows
    )
    more = "<em>and more</em>" if len(things) > SHOWN else ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"


def fields_of(thing: Any) -> dict[str, Any]:
    """The fields of a value, or of what a job or a landscape was described with."""
    if isinstance(thing, Mapping):
        return dict(thing)
    value = getattr(thing, "info", None) or getattr(thing, "record", None) or thing
    return {name: getattr(value, name) for name in type(value).model_fields}


def bar(done: int, total: int | None, words: str) -> str:
    """A progress bar with a few words."""
    of = "" if total is None else f' value="{int(done)}" max="{int(total)}"'
    count = "" if total is None else f" {done}/{total}"
    return f"<div><progress{of}></progress>{count} {_escaped(words)}</div>"


def image(png: bytes, words: str) -> str:
    """A picture, with words for those who cannot see it."""
    data = base64.b64encode(png).decode()
    alt = html.escape(printable.shown(words), quote=True)
    return f'<img src="data:image/png;base64,{data}" alt="{alt}" style="max-width: 100%">'


def framed(page: str, height: int) -> str:
    """A whole page inside a cell, which it cannot reach out of."""
    return (
        f'<iframe srcdoc="{html.escape(page, quote=True)}" sandbox="allow-scripts allow-downloads" '
        f'style="width:100%;height:{int(height)}px;border:0"></iframe>'
    )


def _ipython() -> Any:
    # untyped, and absent outside notebooks
    return importlib.import_module("IPython.display")


def _escaped(value: Any) -> str:
    return html.escape(printable.shown(_words(value)))


def _words(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | tuple):
        text = ", ".join(_words(item) for item in value)
    elif isinstance(value, Mapping):
        text = ", ".join(f"{k}: {_words(v)}" for k, v in value.items())
    else:
        text = str(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
