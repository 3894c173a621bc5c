"""A gate as Markdown: a table, and the surface as an image or in characters."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

from lossatlas.cli.reports.numbers import bounds, with_error
from lossatlas.cli.reports.outcome import Outcome
from lossatlas.printable import for_markdown, markdown_block, markdown_code
from lossatlas.values import Check

_MARKS: Final = {"pass": "✅", "fail": "❌", "inconclusive": "❔"}
_TITLES: Final = {
    "pass": "passed",
    "fail": "failed",
    "inconclusive": "inconclusive",
    "job_failed": "no result: the job failed",
    "timed_out": "no result yet",
    "outage": "not checked: the service cannot be reached",
    "error": "not checked",
}


def markdown_text(outcome: Outcome, *, image: str | None, characters: str) -> str:
    """The report.

    Args:
        image: where the figure lies, relative to the report; None for none.
        characters: the surface drawn in them; empty for none.
    """
    mark = _MARKS.get(outcome.word, "⚠️")
    parts = [f"### {mark} Loss landscape gate: {_TITLES[outcome.word]}"]
    if outcome.lenient:
        parts.append("**Nothing was decided, and this counts as passed as it was asked to.**")
    if outcome.check is not None:
        parts += _checked(outcome.check)
    elif outcome.error is not None:
        parts.append(for_markdown(str(outcome.error)))
        if outcome.resume is not None:
            parts.append(markdown_block(f"$ {outcome.resume}", "console"))
    if image is not None:
        parts.append(f"![Loss surface]({quote(image)})")
    if characters:
        parts.append(markdown_block(characters, "text"))
    return "\n\n".join(parts) + "\n"


def _checked(check: Check) -> list[str]:
    against = ""
    if check.baseline is not None:
        named = check.baseline.asked
        found = check.baseline.landscape
        against = f" against {markdown_code(named)}"
        against += "" if named == found else f" ({markdown_code(found)})"
    rows = [
        "|  | Rule | Data | Value | Limit | Baseline | Why |",
        "|---|---|---|---|---|---|---|",
    ]
    for rule in check.rules:
        cells = (
            _MARKS.get(rule.verdict, rule.verdict),
            rule.text,
            rule.dataset,
            with_error(rule),
            bounds(rule),
            with_error(rule.baseline),
            rule.reason or "",
        )
        rows.append("| " + " | ".join(for_markdown(cell) for cell in cells) + " |")
    parts = [f"{markdown_code(check.landscape)}{against}", "\n".join(rows)]
    if check.baseline is not None and check.baseline.identical:
        parts.append("The baseline is these very numbers: nothing has changed.")
    meanings = {rule.rule.get("measure"): rule.definition for rule in check.rules}
    lines = [
        f"- **{for_markdown(str(name))}**: {for_markdown(text)}" for name, text in meanings.items()
    ]
    note = (
        f"Check {markdown_code(check.id)}. Values are shown with one standard error; "
        f"{check.standard_errors:g} of them count as doubt."
    )
    listed = "\n".join(lines)
    folded = f"<details><summary>Definitions</summary>\n\n{listed}\n\n</details>"
    return [*parts, note, folded]
