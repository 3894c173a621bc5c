"""The command that holds a landscape against rules, and what other commands share of it."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import typer

from lossatlas.cli.exits import code_of
from lossatlas.cli.options import AsJson, Timeout, connect
from lossatlas.cli.output import (
    annotate,
    error_json,
    error_lines,
    result,
    say,
    show_json,
    show_table,
)
from lossatlas.cli.reports.junit import junit_xml
from lossatlas.cli.reports.markdown import markdown_text
from lossatlas.cli.reports.numbers import bounds, with_error
from lossatlas.cli.reports.outcome import Outcome, Policies, Policy
from lossatlas.cli.reports.textmap import text_map
from lossatlas.client import Client
from lossatlas.errors import InputError, LossatlasError, ServiceUnreachable, WaitTimeout
from lossatlas.files import write_bytes
from lossatlas.jobs import Job
from lossatlas.landscapes import Landscape
from lossatlas.values import Check

#: Rules, one a line, where the command line has none.
RULES: Final = "LOSSATLAS_RULES"

Rules = Annotated[
    list[str] | None,
    typer.Option(
        "--rule",
        "-r",
        help="Such as 'sharpness <= 3', 'sharpness <= baseline + 10%' or "
        r"'center_accuracy\[test] >= baseline - 1%'. Repeatable, or a rule on each line; else "
        f"those of {RULES}.",
    ),
]
BaselineOption = Annotated[
    str | None,
    typer.Option(
        "--baseline",
        envvar="LOSSATLAS_BASELINE",
        help="An alias such as vision/prod, or the id of a landscape, a model or a checkpoint.",
    ),
]
StandardErrors = Annotated[
    float | None,
    typer.Option(
        "--standard-errors", min=0, max=10, help="How many count as doubt; 2 when left out."
    ),
]
OnInconclusive = Annotated[
    Policy,
    typer.Option(
        "--on-inconclusive",
        envvar="LOSSATLAS_ON_INCONCLUSIVE",
        help="What a verdict that is open counts as.",
    ),
]
OnOutage = Annotated[
    Policy,
    typer.Option(
        "--on-outage",
        envvar="LOSSATLAS_ON_OUTAGE",
        help="What it counts as when the service cannot be reached.",
    ),
]
JUnit = Annotated[
    Path | None,
    typer.Option("--junit", envvar="LOSSATLAS_JUNIT", help="Write JUnit XML here."),
]
Markdown = Annotated[
    Path | None,
    typer.Option(
        "--markdown",
        envvar="LOSSATLAS_MARKDOWN",
        help="Write a report here, and its figure beside it as a PNG unless --text-map.",
    ),
]
Figure = Annotated[
    Path | None,
    typer.Option("--figure", envvar="LOSSATLAS_FIGURE", help="Write the figure here, a PNG."),
]
TextMap = Annotated[
    bool,
    typer.Option(
        "--text-map",
        envvar="LOSSATLAS_TEXT_MAP",
        help="Draw the surface in characters: where images cannot be shown.",
    ),
]
Promote = Annotated[
    str | None,
    typer.Option(
        "--promote",
        envvar="LOSSATLAS_PROMOTE",
        help="Point this alias at the landscape once it has passed; needs a key with that right.",
    ),
]
Outputs = Annotated[
    Path | None,
    typer.Option(
        "--outputs",
        envvar="LOSSATLAS_OUTPUTS",
        help="Append name=value lines here: verdict, check, landscape.",
    ),
]


@dataclass(frozen=True)
class Gate:
    """Everything that a gate is asked with, but the landscape."""

    rules: tuple[str, ...]
    baseline: str | None
    standard_errors: float | None
    timeout: float | None
    policies: Policies
    junit: Path | None
    markdown: Path | None
    figure: Path | None
    text_map: bool
    outputs: Path | None
    promote: str | None
    as_json: bool

    @property
    def image(self) -> Path | None:
        """Where the figure goes; None for nowhere."""
        if self.figure is not None or self.markdown is None or self.text_map:
            return self.figure
        return self.markdown.with_suffix(".png")

    def resumed(self, job: str) -> str:
        """The command that goes on waiting for a job and then asks the same."""
        words = ["lossatlas", "gate", job]
        for rule in self.rules:
            words += ["--rule", rule]
        options = {
            "--baseline": self.baseline,
            "--standard-errors": self.standard_errors,
            "--timeout": self.timeout,
            "--junit": self.junit,
            "--markdown": self.markdown,
            "--figure": self.figure,
            "--outputs": self.outputs,
            "--promote": self.promote,
        }
        for name, value in options.items():
            if value is not None:
                words += [name, f"{value:g}" if isinstance(value, float) else str(value)]
        for name, policy in (
            ("--on-inconclusive", self.policies.inconclusive),
            ("--on-outage", self.policies.outage),
        ):
            if policy is Policy.PASS:
                words += [name, policy.value]
        words += ["--text-map"] if self.text_map else []
        words += ["--json"] if self.as_json else []
        return shlex.join(words)


def gate(
    landscape: Annotated[
        str, typer.Argument(help="Id of a landscape; or of a job, which is waited for.")
    ],
    *,
    rule: Rules = None,
    baseline: BaselineOption = None,
    standard_errors: StandardErrors = None,
    timeout: Timeout = None,
    on_inconclusive: OnInconclusive = Policy.FAIL,
    on_outage: OnOutage = Policy.FAIL,
    junit: JUnit = None,
    markdown: Markdown = None,
    figure: Figure = None,
    text_map: TextMap = False,
    outputs: Outputs = None,
    promote: Promote = None,
    as_json: AsJson = False,
) -> int:
    """Hold a landscape against rules: exit code 0 if all pass, 1 if one fails or is open."""
    asked = Gate(
        read_rules(rule),
        baseline,
        standard_errors,
        timeout,
        Policies(on_inconclusive, on_outage),
        junit,
        markdown,
        figure,
        text_map,
        outputs,
        promote,
        as_json,
    )

    def found(client: Client) -> Job | Landscape:
        return (
            client.job(landscape) if landscape.startswith("job_") else client.landscape(landscape)
        )

    return judged(asked, connect, found)


def read_rules(given: Sequence[str] | None) -> tuple[str, ...]:
    """Rules, one a line; empty lines and those that begin with # are left out.

    Raises:
        InputError: there is none.
    """
    texts = given or [os.environ.get(RULES, "")]
    lines = [line.strip() for text in texts for line in text.splitlines()]
    rules = tuple(line for line in lines if line and not line.startswith("#"))
    if not rules:
        raise InputError("--rule: give a rule at least, such as 'sharpness <= 3'")
    return rules


def judged(
    asked: Gate,
    connecting: Callable[[], Client],
    finding: Callable[[Client], Job | Landscape],
) -> int:
    """Finds a landscape, judges it, reports, and says what to exit with.

    Args:
        finding: gives the landscape, or the job that makes it.
    """
    drawn = _Drawn()
    kept: LossatlasError | None = None
    try:
        with connecting() as client:
            outcome = _judged(asked, client, finding(client))
            drawn = _draw(asked, outcome)
            kept = _promote(client, asked.promote, outcome.check)
    except LossatlasError as error:
        outcome = Outcome(asked.policies, error=error)
    _write(asked, outcome, drawn)
    _show(asked, outcome, drawn)
    if kept is not None:
        for line in error_lines(kept):
            say(line)
        return code_of(kept)
    return outcome.exit_code


@dataclass(frozen=True)
class _Drawn:
    """What shows the surface: a PNG, or characters."""

    png: bytes | None = None
    characters: str = ""


def _judged(asked: Gate, client: Client, found: Job | Landscape) -> Outcome:
    job = found if isinstance(found, Job) else None
    landscape: Landscape | None = None
    try:
        landscape = found.wait(asked.timeout) if isinstance(found, Job) else found
        check = client.check(
            landscape,
            asked.rules,
            baseline=asked.baseline,
            standard_errors=asked.standard_errors,
        )
    except LossatlasError as error:
        goes_on = job is not None and isinstance(error, WaitTimeout | ServiceUnreachable)
        resume = asked.resumed(job.id) if job is not None and goes_on else None
        return Outcome(asked.policies, landscape=landscape, error=error, resume=resume)
    except KeyboardInterrupt:
        if job is not None:
            say(f"{job.id} goes on; resume with: {asked.resumed(job.id)}")
        raise
    return Outcome(asked.policies, check, landscape)


def _draw(asked: Gate, outcome: Outcome) -> _Drawn:
    """The surface as the reports show it; one that cannot be had does not undo a verdict."""
    if outcome.landscape is None:
        return _Drawn()
    try:
        return _Drawn(
            outcome.landscape.figure("png") if asked.image is not None else None,
            text_map(outcome.landscape.grid) if asked.text_map else "",
        )
    except LossatlasError as error:
        say(f"lossatlas: the report has no figure: {error}")
        return _Drawn()


def _promote(client: Client, alias: str | None, check: Check | None) -> LossatlasError | None:
    """Moves the alias after a pass; the error where that cannot be done."""
    if alias is None or check is None or not check.passed:
        return None
    try:
        moved = client.set_alias(alias, check.landscape, note=f"passed {check.id}")
    except LossatlasError as error:
        return error
    say(f"{moved.alias} names {moved.target}")
    return None


def _write(asked: Gate, outcome: Outcome, drawn: _Drawn) -> None:
    """Writes the reports that were asked for. Raises InputError where that cannot be done."""
    try:
        if asked.junit is not None:
            write_bytes(asked.junit, junit_xml(outcome))
        if asked.markdown is not None:
            image = None
            if asked.image is not None and drawn.png is not None and not asked.text_map:
                image = os.path.relpath(asked.image, asked.markdown.parent)
            text = markdown_text(outcome, image=image, characters=drawn.characters)
            write_bytes(asked.markdown, text.encode())
        if asked.image is not None and drawn.png is not None:
            write_bytes(asked.image, drawn.png)
        if asked.outputs is not None:
            with asked.outputs.open("a", encoding="utf-8") as file:
                file.writelines(f"{name}={value}\n" for name, value in _outputs(outcome))
    except OSError as error:
        raise InputError(f"cannot write {error.filename}: {error.strerror or error}") from None


def _outputs(outcome: Outcome) -> list[tuple[str, str]]:
    """Ids and words only: nothing in them needs quoting."""
    check = outcome.check
    return [
        ("verdict", outcome.word),
        ("check", "" if check is None else check.id),
        ("landscape", "" if outcome.landscape is None else outcome.landscape.id),
    ]


def _show(asked: Gate, outcome: Outcome, drawn: _Drawn) -> None:
    check, error = outcome.check, outcome.error
    if check is not None:
        _show_check(asked, outcome, check, drawn)
    elif error is not None:
        if asked.as_json:
            more = {} if outcome.resume is None else {"resume": outcome.resume}
            body = {**error_json(error), **more, "exit_code": outcome.exit_code}
            show_json({"verdict": outcome.word, "error": body})
        for line in error_lines(error, resume=outcome.resume):
            say(line)
    if outcome.lenient:
        _warn(outcome)


def _show_check(asked: Gate, outcome: Outcome, check: Check, drawn: _Drawn) -> None:
    if asked.as_json:
        files = [asked.junit, asked.markdown, asked.image if drawn.png is not None else None]
        show_json(
            {
                "verdict": check.verdict,
                "exit_code": outcome.exit_code,
                "check": check.model_dump(mode="json"),
                "files": [str(path) for path in files if path is not None],
            }
        )
        return
    rows = [
        [
            rule.verdict,
            rule.text,
            rule.dataset,
            with_error(rule),
            bounds(rule),
            with_error(rule.baseline),
        ]
        for rule in check.rules
    ]
    show_table(rows, ["verdict", "rule", "data", "value", "limit", "baseline"])
    for rule in check.rules:
        if rule.reason is not None:
            say(f"{rule.text}: {rule.reason}")
    if check.baseline is not None and check.baseline.identical:
        say("the baseline is these very numbers: nothing has changed")
    if drawn.characters:
        result(drawn.characters)
    result(f"{check.verdict}  {check.id}  {check.landscape}")


def _warn(outcome: Outcome) -> None:
    """Says as loudly as a log allows that nothing was decided."""
    option = "--on-outage" if outcome.word == "outage" else "--on-inconclusive"
    words = (
        "the service cannot be reached, so NOTHING WAS CHECKED"
        if outcome.word == "outage"
        else "NOTHING WAS DECIDED: the verdict is inconclusive"
    )
    text = f"{words}; this counts as passed because of {option} pass"
    say(f"lossatlas: WARNING: {text}")
    if os.environ.get("GITHUB_ACTIONS") == "true":
        annotate("Lossatlas", text)
