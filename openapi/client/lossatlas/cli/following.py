"""Commands that follow jobs and fetch results, and the waiting that others share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from lossatlas.cli.options import AsJson, Format, Output, Timeout, View, ViewOption, Wait, connect
from lossatlas.cli.output import result, say, show_json, show_table
from lossatlas.errors import InputError, JobCancelled, ServiceUnreachable, job_failed
from lossatlas.jobs import Job, words_of
from lossatlas.landscapes import SUFFIXES, Landscape

JobId = Annotated[str, typer.Argument(help="Id of the job.")]


def require_outputs(outputs: list[Path] | None) -> None:
    """Refuses paths that nothing could be written to before anything is computed.

    Raises:
        InputError: another suffix, or no folder.
    """
    for path in outputs or []:
        if path.suffix.lower() not in SUFFIXES:
            raise InputError(f"--output {path}: give a path that ends in {' '.join(SUFFIXES)}")
        if path.parent.exists() and not path.parent.is_dir():
            raise InputError(f"--output {path}: {path.parent} is no folder")


def finish(
    job: Job,
    *,
    wait: bool,
    timeout: float | None,
    outputs: list[Path] | None,
    view: View | None,
    as_json: bool,
) -> None:
    """Shows a submitted job: waits and writes its result, or says how to wait for it."""
    for note in job.info.notes:
        say(f"note: {note}")
    if not (wait or outputs or job.info.finished):
        if as_json:
            show_json(job.info)
        else:
            say(f"{job.id} is {job.state}; wait for it with: lossatlas wait {job.id}")
            result(job.id)
        return
    try:
        landscape = job.wait(timeout)
    except (KeyboardInterrupt, ServiceUnreachable):
        say(f"{job.id} goes on; resume with: lossatlas wait {job.id}")
        raise
    written = _write(landscape, outputs, view)
    if as_json:
        show_json(_summary(job, landscape, written))
        return
    for path in written:
        say(f"wrote {path}")
    for name, words in _measures(landscape):
        say(f"  {name}: {words}")
    result(landscape.id)


def wait(
    job: JobId,
    *,
    timeout: Timeout = None,
    output: Output = None,
    view: ViewOption = None,
    as_json: AsJson = False,
) -> None:
    """Wait until a job is finished; prints the id of its landscape."""
    require_outputs(output)
    with connect() as client:
        finish(
            client.job(job), wait=True, timeout=timeout, outputs=output, view=view, as_json=as_json
        )


def status(job: JobId, *, as_json: AsJson = False) -> None:
    """Show a job's state and progress; exit code 3 when it failed or was cancelled."""
    with connect() as client:
        info = client.job(job).info
    if as_json:
        show_json(info)
    else:
        count = "" if info.progress.total is None else f", {info.progress.done}/"
        count += "" if info.progress.total is None else f"{info.progress.total} cells"
        result(f"{info.id}  {info.kind}  {words_of(info)}{count}")
        if info.landscape is not None:
            result(info.landscape)
    if info.state == "failed":
        raise job_failed(info.id, info.error or {})
    if info.state == "cancelled":
        raise JobCancelled(info.id)


def cancel(job: JobId, *, as_json: AsJson = False) -> None:
    """Cancel a job, within seconds; what is finished is kept for a retry."""
    with connect() as client:
        info = client.job(job).cancel()
    if as_json:
        show_json(info)
    else:
        say(f"{info.id} is {info.state}")


def retry(
    job: JobId,
    *,
    wait: Wait = False,
    timeout: Timeout = None,
    output: Output = None,
    view: ViewOption = None,
    as_json: AsJson = False,
) -> None:
    """Queue a failed or cancelled job again; finished parts are not computed again."""
    require_outputs(output)
    with connect() as client:
        again = client.job(job)
        again.retry()
        finish(again, wait=wait, timeout=timeout, outputs=output, view=view, as_json=as_json)


def fetch(
    landscape: Annotated[str, typer.Argument(help="Id of a landscape, or of its job.")],
    *,
    output: Output = None,
    format_: Annotated[
        list[Format] | None,
        typer.Option("--format", "-f", help="Write it here, named after its id. Repeatable."),
    ] = None,
    view: ViewOption = None,
    beside: Annotated[
        list[str] | None,
        typer.Option(help="Another line (its id) on the same axes of a figure. Repeatable."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Fetch a finished result: figures, values or an interactive page to files, or the measures
    (the values with --json) to stdout."""
    require_outputs(output)
    with connect() as client:
        found = client.landscape(landscape)
        output = [*(output or []), *(Path(f"{found.id}.{f.value}") for f in format_ or [])]
        written = _write(found, output, view, beside or [])
        if as_json:
            show_json(
                {**found.record.model_dump(mode="json"), "files": [str(p) for p in written]}
                if written
                else found.grid.body
            )
            return
        for path in written:
            say(f"wrote {path}")
        if not written:
            rows = [[name, words] for name, words in _measures(found)]
            show_table(rows, ["measure", "value"])
        result(found.id)


def _write(
    landscape: Landscape,
    outputs: list[Path] | None,
    view: View | None,
    beside: Sequence[str] = (),
) -> list[Path]:
    written = []
    for path in outputs or []:
        try:
            chosen = None if view is None else view.value
            written.append(landscape.save(path, chosen, beside=beside))
        except OSError as error:
            raise InputError(f"cannot write {path}: {error.strerror or error}") from None
    return written


def _summary(job: Job, landscape: Landscape, written: list[Path]) -> dict[str, Any]:
    return {
        "job": job.info.model_dump(mode="json"),
        "landscape": landscape.record.model_dump(mode="json"),
        "files": [str(path) for path in written],
    }


def _measures(landscape: Landscape) -> list[tuple[str, str]]:
    """The derived measures of every data set, in words."""
    rows = []
    for dataset, measures in _by_dataset(landscape.derived):
        for name, measure in measures.items():
            value = measure.get("value") if isinstance(measure, dict) else measure
            if not isinstance(value, int | float):
                continue
            where = f" ({dataset})" if dataset else ""
            rows.append((f"{name}{where}", f"{value:.6g}"))
    return rows


def _by_dataset(derived: Any) -> list[tuple[str, dict[str, Any]]]:
    others = derived.get("datasets")
    if isinstance(others, dict):
        return [(name, dict(measures)) for name, measures in others.items()]
    return [("", dict(derived))]
