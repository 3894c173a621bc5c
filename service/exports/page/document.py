"""The HTML around the values: one file that asks nobody for anything.

Owns the page's policy: only its own script and its own styles run, by their digests.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from html import escape
from importlib import resources
from typing import Any, Final

from service.domain.adaptive import Sampling
from service.domain.counted import samples_in_words
from service.domain.definitions import outdated
from service.domain.printable import shown
from service.domain.results import GridResult
from service.exports.about import About
from service.exports.page.values import script_safe, values_of
from service.exports.trajectory import Step

MEDIA_TYPE: Final = "text/html"

_CONTROLS: Final = """\
<div class="controls" role="group" aria-label="What is shown">
<label>Data set <select id="dataset"></select></label>
<label>Metric <select id="metric"></select></label>
<label class="tick"><input type="checkbox" id="log"> Log scale</label>
<label class="tick" id="trajectory-control" hidden>\
<input type="checkbox" id="trajectory" checked> Trajectory</label>
<label class="plane-only">Cut at <input type="range" id="cut" min="1" max="100" value="100"></label>
<span class="buttons">
<button type="button" id="top" class="plane-only">From above</button>
<button type="button" id="reset" class="plane-only">Reset view</button>
<button type="button" id="theme" aria-pressed="false">Dark</button>
</span>
</div>
"""

_STAGE: Final = """\
<div id="stage" tabindex="0" role="application" aria-describedby="help" aria-label="{label}">
<canvas id="floor" aria-hidden="true"></canvas>
<canvas id="surface" aria-hidden="true"></canvas>
<canvas id="ink" aria-hidden="true"></canvas>
</div>
<div class="below">
<p id="readout" aria-live="polite">&nbsp;</p>
<canvas id="bar" role="img" aria-label="Colour scale"></canvas>
</div>
<p id="help"></p>
"""


@cache
def page_policy() -> str:
    """The header `Content-Security-Policy` to serve every page under; pages state it too.

    Names the script and the styles by digest, so it changes whenever they do. The service's own
    pages may show it in a frame, others may not.
    """
    return f"{_policy()}; frame-ancestors 'self'"


def encode_page(
    result: GridResult, about: About, still: bytes, trajectory: Sequence[Step] = ()
) -> bytes:
    """The HTML of a page of a plane (a surface to turn) or a line (curves).

    Args:
        still: a PNG of the same, shown where there is no script or no WebGL.
        trajectory: the path of training, drawn on the surface.
    """
    script, style = _asset("view.js"), _asset("view.css")
    title, label = escape(about.title), escape(_label(result, about))
    image = base64.b64encode(still).decode()
    kind = "line" if result.y is None else "plane"
    html = f"""<!doctype html>
<html lang="en" data-kind="{kind}">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_policy()}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<main>
<header><h1>{title}</h1><p class="sub">{escape(_subtitle(result, about))}</p></header>
<img id="still" src="data:image/png;base64,{image}" alt="{label}">
<noscript><p>This page turns and answers when scripts may run; the figure above shows the same.\
</p></noscript>
<p id="why" role="status" hidden></p>
<section id="live" hidden>
{_CONTROLS}{_STAGE.format(label=label)}</section>
{_measures(about)}
</main>
<script type="application/json" id="values">{script_safe(values_of(result, trajectory))}</script>
<script>{script}</script>
</body>
</html>
"""
    return shown(html, breaks=True).encode()


def _policy() -> str:
    script, style = _digest(_asset("view.js")), _digest(_asset("view.css"))
    return (
        f"default-src 'none'; script-src '{script}'; style-src '{style}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


@cache
def _asset(name: str) -> str:
    text = resources.files("service.exports.page").joinpath(name).read_text(encoding="utf-8")
    if "</script" in text.lower() or "</style" in text.lower():
        raise ValueError(f"{name} would end its own element")
    return text


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _label(result: GridResult, about: About) -> str:
    size = (
        f"{len(result.x)} points"
        if result.y is None
        else f"{len(result.x)} by {len(result.y)} points"
    )
    return f"{about.title}: loss landscape of {size}"


def _subtitle(result: GridResult, about: About) -> str:
    grid = f"{len(result.x)}" + ("" if result.y is None else f" × {len(result.y)}") + " points"
    samples = ", ".join(
        f"{d.name}: {samples_in_words(d.samples, d.counted)}" for d in result.datasets
    )
    sampling = Sampling.of(result)
    sampled = "" if sampling is None else sampling.sentence(result, result.datasets[0])
    dtype = str(about.provenance.get("dtype") or "")
    older = (
        ""
        if outdated(about.provenance) is None
        else f"computed under older definitions ({about.provenance['definitions']})"
    )
    parts = [about.model or "", grid, samples, dtype, sampled, older]
    return " · ".join(part for part in parts if part)


def _measures(about: About) -> str:
    rows = []
    for name, measure in about.derived.items():
        if not isinstance(measure, dict) or not isinstance(measure.get("value"), int | float):
            continue
        rows.append(_row(name, measure))
    if not rows:
        return ""
    return (
        "<details><summary>Measures</summary><table><thead><tr><th>Measure</th><th>Value</th>"
        f"<th>Definition</th></tr></thead><tbody>{''.join(rows)}</tbody></table></details>"
    )


def _row(name: str, measure: dict[str, Any]) -> str:
    words = escape(name.replace("_", " "))
    definition = escape(str(measure.get("definition", "")))
    return f"<tr><th>{words}</th><td>{measure['value']:.6g}</td><td>{definition}</td></tr>"
