"""What the commands print: results on stdout, everything else on stderr."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from lossatlas.cli.exits import code_of
from lossatlas.errors import JobCancelled, JobFailed, LossatlasError, ProblemError, WaitTimeout
from lossatlas.printable import for_terminal, json_text, shown


def say(text: str) -> None:
    """A line for people, on stderr."""
    print(for_terminal(text), file=sys.stderr, flush=True)


def annotate(title: str, text: str) -> None:
    """A warning that GitHub shows with the run; no words but ours belong here."""
    print(f"::warning title={title}::{shown(text)}", file=sys.stderr, flush=True)


def result(text: str) -> None:
    """A line of result, on stdout."""
    print(for_terminal(text, breaks=True), flush=True)


def show_json(value: Any) -> None:
    """A JSON document on stdout."""
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json")
    print(json_text(value), flush=True)


def show_table(rows: Sequence[Sequence[str]], headings: Sequence[str]) -> None:
    """Columns as wide as their longest cell; no colour, no lines: for eyes and for awk."""
    everything = [list(headings), *[[shown(cell) for cell in row] for row in rows]]
    widths = [max(len(row[i]) for row in everything) for i in range(len(headings))]
    for row in everything:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        result("  ".join(cells).rstrip())


def show_error(error: LossatlasError, *, as_json: bool) -> None:
    """One clear line, a line for each field, and how to go on."""
    if as_json:
        show_json({"error": error_json(error)})
    for line in error_lines(error):
        say(line)


def error_lines(error: LossatlasError, resume: str | None = None) -> Iterable[str]:
    """The error in words; `resume` is the command that goes on, where there is a better one."""
    if isinstance(error, ProblemError):
        what = f"{error.job} failed" if isinstance(error, JobFailed) else "refused"
        yield f"lossatlas: {what} ({error.code}): {error.detail or error.title}"
        for field in error.errors:
            # a problem of one field says the same in its detail
            if len(error.errors) > 1 or field.detail not in error.detail:
                yield f"  {field.pointer or '/'}: {field.detail}"
            else:
                yield f"  at {field.pointer or '/'}"
        if error.request_id and error.status >= 500:
            yield f"  request {error.request_id}"
    else:
        yield f"lossatlas: {error}"
    if isinstance(error, WaitTimeout):
        resume = resume or f"lossatlas wait {error.job}"
    if resume is not None:
        yield f"resume with: {resume}"
    if isinstance(error, JobFailed | JobCancelled):
        yield f"try again with: lossatlas retry {error.job} --wait"


def error_json(error: LossatlasError) -> dict[str, Any]:
    """The error as data."""
    body: dict[str, Any] = {
        "type": type(error).__name__,
        "detail": str(error),
        "exit_code": code_of(error),
    }
    if isinstance(error, ProblemError):
        problem: Mapping[str, Any] = {k: v for k, v in error.body.items() if k != "retry_after"}
        body |= {"code": error.code, "problem": problem}
    if isinstance(error, JobFailed | JobCancelled | WaitTimeout):
        body["job"] = error.job
    return body
