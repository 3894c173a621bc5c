"""The page: one HTML file that holds its own pictures. Owns words and layout, no rules."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Final

from lossatlas_gallery.findings import Facts, Finding, Values, number, percent
from lossatlas_gallery.recipes import Recipe
from lossatlas_gallery.scales import Scale
from lossatlas_gallery.sections import Panel, Section


@dataclass(frozen=True)
class Shown:
    """A panel with what came of it: a picture, or the reason why there is none."""

    panel: Panel
    picture: Path | None
    landscape: str | None
    reason: str | None = None


@dataclass(frozen=True)
class ShownRow:
    """A row of panels on one scale."""

    panels: tuple[Shown, ...]
    scale: Scale | None


@dataclass(frozen=True)
class ShownSection:
    """A question with its panels and its answer."""

    section: Section
    rows: tuple[ShownRow, ...]
    finding: Finding


@dataclass(frozen=True)
class Content:
    """Everything on the page.

    Attributes:
        data: what the networks were trained on, in words.
        method: how it was done, a sentence each.
        overall: a finding over all networks; None where there are too few.
    """

    title: str
    data: str
    method: Sequence[str]
    sections: Sequence[ShownSection]
    overall: Finding | None
    recipes: Sequence[Recipe]
    facts: Facts
    definitions: Mapping[str, str] = field(default_factory=dict)


#: A column of a table: name, heading, form.
_Column = tuple[str, str, Callable[[float], str]]

_OF_NETWORKS: Final[Sequence[_Column]] = (
    ("parameters", "parameters", lambda v: f"{v:,.0f}"),
    ("train_loss", "train loss", number),
    ("test_loss", "test loss", number),
    ("test_error", "test error", percent),
    ("loss_before", "loss before training", number),
    ("norm", "‖θ‖", number),
    ("seconds", "trained in", lambda v: f"{v:.0f} s"),
)
_OF_SURFACES: Final[Sequence[_Column]] = (
    ("center_loss", "loss at the centre", number),
    ("sharpness", "sharpness", number),
    ("basin_width", "basin width", number),
    ("nonconvex_share", "non-convex cells", percent),
    ("local_minima", "local minima", lambda v: f"{v:.0f}"),
    ("roughness", "roughness", number),
    ("maximum", "highest loss", number),
)
_OF_LINES: Final[Sequence[_Column]] = (
    ("barrier", "barrier, train", number),
    ("barrier_test", "barrier, test", number),
    ("rise_origin", "rise beyond α = 0", number),
    ("rise_target", "rise beyond α = 1", number),
)
_OF_LINES_ACROSS: Final[Sequence[_Column]] = (
    ("center_loss", "loss at the centre", number),
    ("rise", "mean rise to the ends", number),
)
_OF_PATHS: Final[Sequence[_Column]] = (
    ("checkpoints", "checkpoints", lambda v: f"{v:.0f}"),
    ("explained_first", "first component", percent),
    ("explained_second", "second component", percent),
    ("explained", "both", percent),
    ("random", "random planes", percent),
    ("residual_largest", "largest off-plane residual", number),
)
_OF_RATIOS: Final[Sequence[_Column]] = (
    ("ratio_median", "median |λ_min/λ_max|", number),
    ("ratio_mean", "mean", number),
    ("negative_share", "cells with λ_min < 0", percent),
    ("strongly_negative_share", "strongly negative cells", percent),
)
_COLUMNS: Final[Mapping[str, tuple[str, Sequence[_Column]]]] = {
    "surface": ("Surfaces", _OF_SURFACES),
    "line": ("Lines", _OF_LINES),
    "across": ("Lines along random directions", _OF_LINES_ACROSS),
    "path": ("Paths of training", _OF_PATHS),
    "ratio": ("Eigenvalue ratios", _OF_RATIOS),
}

_STYLE: Final = """
:root{color-scheme:light}
*{box-sizing:border-box}
body{margin:0 auto;padding:2rem 1.5rem 4rem;max-width:1560px;background:#fff;color:#1c2024;
font:16px/1.5 system-ui,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
h1{font-size:1.7rem;line-height:1.2;margin:0 0 .5rem}
h2{font-size:1.25rem;margin:3rem 0 .4rem;padding-top:1rem;border-top:1px solid #d8dce0}
p{max-width:62rem;margin:.4rem 0}
.muted,figcaption,.method{color:#565e66}
.row{display:flex;flex-wrap:wrap;gap:1rem;margin:1rem 0 .2rem}
figure{flex:1 1 330px;margin:0;max-width:480px;
border:1px solid #e2e5e8;border-radius:6px;padding:.6rem;background:#fff}
figure img{display:block;width:100%;height:auto}
figure h3{font-size:.95rem;margin:0 0 .4rem}
figcaption{font-size:.82rem;margin-top:.4rem;overflow-wrap:anywhere}
.missing{padding:2rem 1rem;background:#f5f6f7;color:#565e66;font-size:.9rem}
.scale{font-size:.85rem;margin:0}
.finding{border-left:4px solid #8a929a;padding:.5rem .9rem;background:#f6f7f8;margin:.8rem 0}
.shows{border-color:#1f7a4d}.part{border-color:#b7791f}.not{border-color:#b3382c}
.verdict{font-weight:600}
.scroll{overflow-x:auto}
table{border-collapse:collapse;font-size:.88rem;margin:.6rem 0 1.4rem;
font-variant-numeric:tabular-nums}
caption{text-align:left;font-weight:600;padding:.4rem 0}
th,td{padding:.3rem .8rem .3rem 0;border-bottom:1px solid #e2e5e8;text-align:right;
vertical-align:bottom}
th:first-child,td:first-child{text-align:left}
.answers td{text-align:left;vertical-align:top}.answers td:nth-child(2){white-space:nowrap}
dt{font-weight:600}dd{margin:0 0 .5rem 0;max-width:62rem}
a{color:#0b5cad}
@media print{figure{break-inside:avoid}}
"""
_CLASSES: Final = {
    "shows": "shows",
    "shows in part": "part",
    "does not show": "not",
    "cannot be told": "",
}


def html(content: Content) -> str:
    """The page's text."""
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width,initial-scale=1">',
        f"<title>{escape(content.title)}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{escape(content.title)}</h1>",
        f"<p>{escape(content.data)}</p>",
        *_answers(content),
    ]
    for shown in content.sections:
        parts += _section(shown, content.facts)
    parts += _tables(content)
    parts += _notes(content)
    parts.append("</body></html>")
    return "\n".join(parts) + "\n"


def _answers(content: Content) -> Iterable[str]:
    yield '<div class="scroll"><table class="answers"><caption>The claims, and whether they show '
    yield "here</caption><tbody>"
    for shown in content.sections:
        section = shown.section
        yield (
            f'<tr><td><a href="#{section.slug}">{escape(section.heading)}</a></td>'
            f'<td class="verdict">{escape(shown.finding.verdict)}</td>'
            f"<td>{escape(section.claim)}</td></tr>"
        )
    yield "</tbody></table></div>"
    if content.overall is not None:
        yield (
            "<p><b>Over all networks: does a sharper surface go with a higher test error?</b> "
            f"{escape(content.overall.sentence)}</p>"
        )


def _section(shown: ShownSection, facts: Facts) -> Iterable[str]:
    section, finding = shown.section, shown.finding
    yield f'<section id="{section.slug}"><h2>{escape(section.heading)}</h2>'
    yield f'<p class="muted">The paper: {escape(section.claim)}</p>'
    yield (
        f'<p class="finding {_CLASSES[finding.verdict]}"><span class="verdict">'
        f"{escape(finding.verdict.capitalize())}.</span> {escape(finding.sentence)}</p>"
    )
    for row in shown.rows:
        yield '<div class="row">'
        for panel in row.panels:
            yield from _figure(panel, facts)
        yield "</div>"
        if row.scale is not None:
            yield f'<p class="scale muted">{escape(_scale_words(row.scale))}</p>'
    yield "</section>"


def _figure(shown: Shown, facts: Facts) -> Iterable[str]:
    panel = shown.panel
    yield f'<figure id="{escape(panel.key)}"><h3>{escape(panel.title)}</h3>'
    if shown.picture is None:
        yield f'<div class="missing">No landscape: {escape(shown.reason or "unknown")}</div>'
    else:
        data = base64.b64encode(shown.picture.read_bytes()).decode()
        yield f'<img alt="{escape(panel.title)}" src="data:image/png;base64,{data}">'
    said = [
        f"test error {percent(e)}"
        for e in [facts.network(panel.network, "test_error")]
        if e is not None and panel.at == "end" and panel.other is None and not panel.beside
    ]
    said += _side_by_side(panel, facts)
    _, columns = _COLUMNS[panel.kind]
    for name, heading, form in columns:
        value = facts.panel(panel.key, name)
        if value is not None and name in _CAPTIONED:
            said.append(f"{heading} {form(value)}")
    if shown.landscape is not None:
        said.append(shown.landscape)
    yield f"<figcaption>{escape(' · '.join(said))}</figcaption></figure>"


def _side_by_side(panel: Panel, facts: Facts) -> list[str]:
    """Of each network in a picture of several, what the eye is to compare."""
    said = []
    for one in (panel, *panel.beside) if panel.beside else ():
        rise = facts.panel(one.key, "rise")
        wrong = facts.network(one.network, "test_error")
        norm = facts.network(one.network, "norm")
        words = [
            *([] if rise is None else [f"rises by {number(rise)}"]),
            *([] if wrong is None else [f"test error {percent(wrong)}"]),
            *([] if norm is None else [f"‖θ‖ {number(norm)}"]),
        ]
        said.append(f"{one.label}: {', '.join(words)}")
    return said


_CAPTIONED: Final = frozenset(
    {
        "sharpness",
        "nonconvex_share",
        "local_minima",
        "barrier",
        "barrier_test",
        "explained",
        "random",
        "ratio_median",
        "strongly_negative_share",
    }
)


def _scale_words(scale: Scale) -> str:
    kind = "logarithmic" if scale.log else "linear"
    text = f"One {kind} scale for all of these, from {number(scale.low)} to {number(scale.high)}."
    if scale.cut:
        text += " Values above are drawn as its end."
    return text


def _tables(content: Content) -> Iterable[str]:
    facts = content.facts
    yield '<h2 id="numbers">The numbers</h2>'
    rows = [(recipe.title, facts.networks.get(recipe.slug, {})) for recipe in content.recipes]
    yield from _table("Networks", _OF_NETWORKS, rows)
    panels: dict[str, Panel] = {}
    for section in content.sections:
        for row in section.rows:
            for panel in (p for shown in row.panels for p in (shown.panel, *shown.panel.beside)):
                panels[panel.key] = panel
    for kind, (heading, columns) in _COLUMNS.items():
        rows = [
            (panel.title, facts.panels.get(key, {}))
            for key, panel in panels.items()
            if panel.kind == kind
        ]
        if rows:
            yield from _table(heading, columns, rows)


def _table(
    caption: str, columns: Sequence[_Column], rows: Sequence[tuple[str, Values]]
) -> Iterable[str]:
    heads = "".join(f"<th>{escape(heading)}</th>" for _, heading, _ in columns)
    yield f'<div class="scroll"><table><caption>{escape(caption)}</caption>'
    yield f"<thead><tr><th></th>{heads}</tr></thead><tbody>"
    for title, values in rows:
        cells = "".join(f"<td>{_cell(values.get(name), form)}</td>" for name, _, form in columns)
        yield f"<tr><td>{escape(title)}</td>{cells}</tr>"
    yield "</tbody></table></div>"


def _cell(value: float | None, form: Callable[[float], str]) -> str:
    return "–" if value is None else escape(form(value))


def _notes(content: Content) -> Iterable[str]:
    yield '<h2 id="method">How it was done</h2><ul class="method">'
    for sentence in content.method:
        yield f"<li>{escape(sentence)}</li>"
    yield "</ul>"
    if content.definitions:
        yield "<h3>Definitions</h3><dl>"
        for name, words in content.definitions.items():
            yield f"<dt>{escape(name)}</dt><dd>{escape(words)}</dd>"
        yield "</dl>"
