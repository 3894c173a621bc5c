"""The commands of CI: from a trained network to a verdict in one step; and signing in."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer

from lossatlas.ci_identity import ci_key, possible
from lossatlas.cli.gating import (
    BaselineOption,
    Figure,
    Gate,
    JUnit,
    Markdown,
    OnInconclusive,
    OnOutage,
    Outputs,
    Promote,
    Rules,
    StandardErrors,
    TextMap,
    judged,
    read_rules,
)
from lossatlas.cli.options import (
    AsJson,
    Loss,
    Project,
    ReductionOption,
    connect,
    read_num,
    read_range,
)
from lossatlas.cli.output import result, say
from lossatlas.cli.reports.outcome import Policies, Policy
from lossatlas.client import Client
from lossatlas.errors import InputError
from lossatlas.files import digest_of
from lossatlas.jobs import Job

#: Data sets, one a line, where the command line has none.
DATA: Final = "LOSSATLAS_DATA"


class What(StrEnum):
    """What is asked about the network."""

    surface = "surface"
    curvature = "curvature"


def ci(
    *,
    project: Project,
    model: Annotated[
        str,
        typer.Option(
            "--model",
            envvar="LOSSATLAS_MODEL",
            help="A .pt2 by lossatlas.export_model, or a model's id.",
        ),
    ],
    weights: Annotated[
        str,
        typer.Option(
            "--weights",
            envvar="LOSSATLAS_WEIGHTS",
            help="Weights (safetensors), or a checkpoint's id.",
        ),
    ],
    data: Annotated[
        list[str] | None,
        typer.Option(
            "--data",
            "-d",
            help="Samples (safetensors), FILE or NAME=FILE, or a data set's id. Repeatable, or "
            f"one on each line; else those of {DATA}.",
        ),
    ] = None,
    rule: Rules = None,
    name: Annotated[
        str | None,
        typer.Option(
            "--name", envvar="LOSSATLAS_NAME", help="Of the model; its file's when left out."
        ),
    ] = None,
    loss: Annotated[Loss, typer.Option("--loss", envvar="LOSSATLAS_LOSS")] = Loss.cross_entropy,
    reduction: ReductionOption = None,
    label: Annotated[
        str | None,
        typer.Option(
            "--label",
            envvar=["LOSSATLAS_LABEL", "GITHUB_SHA", "CI_COMMIT_SHA"],
            help="Of the checkpoint; the commit in GitHub and GitLab.",
        ),
    ] = None,
    what: Annotated[
        What, typer.Option("--kind", envvar="LOSSATLAS_KIND", help="What to compute.")
    ] = What.surface,
    num: Annotated[
        str,
        typer.Option("--num", envvar="LOSSATLAS_NUM", help="Points a side of the surface."),
    ] = "25",
    range_: Annotated[
        str, typer.Option("--range", envvar="LOSSATLAS_RANGE", help="Of both axes.")
    ] = "-1:1",
    seed: Annotated[
        int, typer.Option("--seed", envvar="LOSSATLAS_SEED", min=0, help="Of the directions.")
    ] = 1,
    timeout: Annotated[
        float | None,
        typer.Option(
            "--timeout",
            envvar="LOSSATLAS_TIMEOUT",
            min=0,
            help="Seconds to wait for the result; exit code 4 after that.",
        ),
    ] = None,
    baseline: BaselineOption = None,
    promote: Promote = None,
    standard_errors: StandardErrors = None,
    on_inconclusive: OnInconclusive = Policy.FAIL,
    on_outage: OnOutage = Policy.FAIL,
    junit: JUnit = None,
    markdown: Markdown = None,
    figure: Figure = None,
    text_map: TextMap = False,
    outputs: Outputs = None,
    as_json: AsJson = False,
) -> int:
    """Push a network, map its loss, wait, hold it against rules, report: a CI step in one line.

    Exit codes as of `gate`. Without LOSSATLAS_KEY, the CI job's identity token is exchanged for a
    key.
    """
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
    points, ends = read_num(num), read_range("--range", range_)
    sets = _data(data or [os.environ.get(DATA, "")])
    for option, given, kind in (("--model", model, "mdl"), ("--weights", weights, "ckp")):
        _require_file(option, given, kind)
    for _, given in sets:
        _require_file("--data", given, "dst")

    def found(client: Client) -> Job:
        network = model
        if not _is_id(model, "mdl"):
            network = client.push_model(
                model,
                project=project,
                name=name or Path(model).stem,
                loss=loss.value,
                reduction=reduction,
                metadata=_origin(os.environ),
            ).id
        checkpoint = weights
        if not _is_id(weights, "ckp"):
            checkpoint = client.push_checkpoint(network, weights, label=label).id
        ids = [_dataset(client, project, *each) for each in sets]
        if what is What.curvature:
            job = client.curvature(checkpoint, ids, trace="deflated", tags=["ci"])
        else:
            job = client.surface(checkpoint, ids, num=points, range=ends, seed=seed, tags=["ci"])
        say(f"{job.id} is {job.state}: {what.value} of {checkpoint}")
        return job

    return judged(asked, signed_in, found)


def show_key(
    *,
    url: Annotated[
        str, typer.Option("--url", envvar="LOSSATLAS_URL", help="The service's address.")
    ],
) -> None:
    """Exchange this CI job's identity token for a key that soon expires; prints the key alone."""
    result(ci_key(url.rstrip("/")))


def signed_in() -> Client:
    """The client; in a CI job without a key, with one that is got for its identity token.

    Raises:
        ConfigurationError, ServiceUnreachable, ProblemError: as `ci_key`.
    """
    url = os.environ.get("LOSSATLAS_URL")
    if url and not os.environ.get("LOSSATLAS_KEY") and possible():
        os.environ["LOSSATLAS_KEY"] = ci_key(url.rstrip("/"))
    return connect()


def _data(texts: Iterable[str]) -> list[tuple[str | None, str]]:
    """Names, where they are given, and files or ids. Raises InputError for none."""
    found: list[tuple[str | None, str]] = []
    for line in (line.strip() for text in texts for line in text.splitlines()):
        name, equals, file = line.partition("=")
        if equals and not Path(line).exists():
            found.append((name.strip(), file.strip()))
        elif line:
            found.append((None, line))
    if not found:
        raise InputError("--data: give samples to evaluate on, a safetensors file or an id")
    return found


def _dataset(client: Client, project: str, name: str | None, given: str) -> str:
    """The id of a data set: one that is there with these bytes under this name, or a new one."""
    if _is_id(given, "dst"):
        return given
    path = Path(given)
    name = name or path.stem
    try:
        digest = digest_of(path)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from None
    for there in client.datasets(project=project, name=name):
        if there.object == digest:
            return there.id
    return client.push_dataset(path, project=project, name=name).id


def _require_file(option: str, given: str, kind: str) -> None:
    if not _is_id(given, kind) and not Path(given).is_file():
        raise InputError(f"{option} {given!r} is neither a file nor an id ({kind}_…)")


def _is_id(text: str, kind: str) -> bool:
    return text.startswith(f"{kind}_") and not Path(text).exists()


def _origin(environ: Mapping[str, str]) -> dict[str, str]:
    """Where the network comes from, in the words of GitHub and GitLab."""
    known = {
        "commit": environ.get("GITHUB_SHA") or environ.get("CI_COMMIT_SHA"),
        "ref": environ.get("GITHUB_REF") or environ.get("CI_COMMIT_REF_NAME"),
        "repository": environ.get("GITHUB_REPOSITORY") or environ.get("CI_PROJECT_PATH"),
        "run": environ.get("GITHUB_RUN_ID") or environ.get("CI_PIPELINE_ID"),
    }
    return {name: value for name, value in known.items() if value}
