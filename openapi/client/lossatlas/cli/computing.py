"""Commands that ask for landscapes."""

from __future__ import annotations

from typing import Annotated

import typer

from lossatlas.cli.following import finish, require_outputs
from lossatlas.cli.options import (
    Adaptive,
    AsJson,
    Buffers,
    BuffersOption,
    Datasets,
    Force,
    Ignore,
    Normalize,
    Num,
    Output,
    Precision,
    PrecisionOption,
    Priority,
    RecalibrationSamples,
    Tags,
    Timeout,
    ViewOption,
    Wait,
    connect,
    read_adaptive,
    read_num,
    read_range,
)
from lossatlas.errors import InputError

Checkpoint = Annotated[str, typer.Argument(help="Id of the checkpoint.")]


def surface(
    checkpoint: Checkpoint,
    *,
    dataset: Datasets,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of both random directions.")] = 1,
    num: Num = "51",
    range_: Annotated[str, typer.Option("--range", help="Of both axes, as -1:1.")] = "-1:1",
    x_range: Annotated[str | None, typer.Option("--x-range", help="Instead, along x.")] = None,
    y_range: Annotated[str | None, typer.Option("--y-range", help="Instead, along y.")] = None,
    normalize: Annotated[Normalize, typer.Option("--normalize")] = Normalize.filter,
    ignore: Annotated[
        list[Ignore] | None,
        typer.Option("--ignore", help="bias and norm by default; none for neither. Repeatable."),
    ] = None,
    x_direction: Annotated[
        str | None, typer.Option("--x-direction", help="Id of a saved direction instead.")
    ] = None,
    y_direction: Annotated[
        str | None, typer.Option("--y-direction", help="Id of a saved direction instead.")
    ] = None,
    orthogonalise: Annotated[
        bool, typer.Option("--orthogonalise", help="Make y orthogonal to x.")
    ] = False,
    adaptive: Adaptive = None,
    precision: PrecisionOption = Precision.float32,
    buffers: BuffersOption = Buffers.frozen,
    samples: RecalibrationSamples = None,
    tag: Tags = None,
    priority: Priority = 0,
    force: Force = False,
    wait: Wait = False,
    timeout: Timeout = None,
    output: Output = None,
    view: ViewOption = None,
    as_json: AsJson = False,
) -> None:
    """Ask for a loss surface around a checkpoint; prints the job's id, or the landscape's."""
    require_outputs(output)
    points = read_num(num)
    both = read_range("--range", range_)
    along_x = read_range("--x-range", x_range) if x_range else both
    along_y = read_range("--y-range", y_range) if y_range else both
    with connect() as client:
        job = client.surface(
            checkpoint,
            dataset,
            seed=seed,
            num=points,
            x_range=along_x,
            y_range=along_y,
            normalize=normalize.value,
            ignore=_ignored(ignore),
            x=x_direction,
            y=y_direction,
            orthogonalise=orthogonalise,
            sampling=read_adaptive(adaptive),
            precision=precision.value,
            buffers=buffers.value,
            recalibration_samples=samples,
            tags=tag or [],
            priority=priority,
            force=force,
        )
        finish(job, wait=wait, timeout=timeout, outputs=output, view=view, as_json=as_json)


def interpolate(
    origin: Checkpoint,
    target: Checkpoint,
    *,
    dataset: Datasets,
    num: Annotated[int, typer.Option("--num", min=1, help="Points.")] = 51,
    range_: Annotated[
        str, typer.Option("--range", help="Of α: 0 is the origin and 1 the target.")
    ] = "-0.5:1.5",
    precision: PrecisionOption = Precision.float32,
    buffers: BuffersOption = Buffers.frozen,
    samples: RecalibrationSamples = None,
    tag: Tags = None,
    priority: Priority = 0,
    force: Force = False,
    wait: Wait = False,
    timeout: Timeout = None,
    output: Output = None,
    view: ViewOption = None,
    as_json: AsJson = False,
) -> None:
    """Ask for the line through two checkpoints; prints the job's id, or the landscape's."""
    require_outputs(output)
    ends = read_range("--range", range_)
    with connect() as client:
        job = client.interpolate(
            origin,
            target,
            dataset,
            num=num,
            range=ends,
            precision=precision.value,
            buffers=buffers.value,
            recalibration_samples=samples,
            tags=tag or [],
            priority=priority,
            force=force,
        )
        finish(job, wait=wait, timeout=timeout, outputs=output, view=view, as_json=as_json)


def line(
    checkpoint: Checkpoint,
    *,
    dataset: Datasets,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the first direction.")] = 1,
    repeats: Annotated[
        int, typer.Option("--repeats", min=1, max=64, help="Directions, seed after seed.")
    ] = 1,
    num: Annotated[int, typer.Option("--num", min=1, help="Points.")] = 51,
    range_: Annotated[str, typer.Option("--range", help="Of α.")] = "-1:1",
    normalize: Annotated[Normalize, typer.Option("--normalize")] = Normalize.filter,
    ignore: Annotated[
        list[Ignore] | None,
        typer.Option("--ignore", help="bias and norm by default; none for neither. Repeatable."),
    ] = None,
    direction: Annotated[
        str | None, typer.Option("--direction", help="Id of a saved direction instead.")
    ] = None,
    precision: PrecisionOption = Precision.float32,
    buffers: BuffersOption = Buffers.frozen,
    samples: RecalibrationSamples = None,
    tag: Tags = None,
    priority: Priority = 0,
    force: Force = False,
    wait: Wait = False,
    timeout: Timeout = None,
    output: Output = None,
    view: ViewOption = None,
    as_json: AsJson = False,
) -> None:
    """Ask for the loss along random directions from a checkpoint, one by one and on average."""
    require_outputs(output)
    ends = read_range("--range", range_)
    with connect() as client:
        job = client.line(
            checkpoint,
            dataset,
            seed=seed,
            repeats=repeats,
            num=num,
            range=ends,
            normalize=normalize.value,
            ignore=_ignored(ignore),
            direction=direction,
            precision=precision.value,
            buffers=buffers.value,
            recalibration_samples=samples,
            tags=tag or [],
            priority=priority,
            force=force,
        )
        finish(job, wait=wait, timeout=timeout, outputs=output, view=view, as_json=as_json)


def _ignored(ignore: list[Ignore] | None) -> list[str]:
    if ignore is None or not ignore:
        return ["bias", "norm"]
    if Ignore.none in ignore:
        if len(ignore) > 1:
            raise InputError("--ignore none stands alone")
        return []
    return [word.value for word in ignore]
