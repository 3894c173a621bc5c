"""The command that asks for trajectories."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from lossatlas.cli.following import finish, require_outputs
from lossatlas.cli.options import (
    Adaptive,
    AsJson,
    Buffers,
    BuffersOption,
    Center,
    Datasets,
    Force,
    Ignore,
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
)


def trajectory(
    model: Annotated[str, typer.Argument(help="Id of the model.")],
    *,
    dataset: Datasets,
    checkpoint: Annotated[
        list[str] | None,
        typer.Option("--checkpoint", help="Instead of all, in order. Repeatable."),
    ] = None,
    label: Annotated[str | None, typer.Option("--label", help="Of this run.")] = None,
    run: Annotated[
        list[str] | None,
        typer.Option(
            "--run", help="A further run on the same plane: MODEL or LABEL=MODEL. Repeatable."
        ),
    ] = None,
    center: Annotated[
        Center, typer.Option("--center", help="final as in the paper, mean as in its code.")
    ] = Center.final,
    exclude: Annotated[
        list[Ignore] | None,
        typer.Option("--exclude", help="Parameters not to look at: bias, norm. Repeatable."),
    ] = None,
    num: Annotated[int, typer.Option("--num", min=2, help="Points a side.")] = 51,
    margin: Annotated[
        float, typer.Option("--margin", min=0, help="Around the path, by its length.")
    ] = 0.3,
    adaptive: Adaptive = None,
    true_loss: Annotated[
        bool,
        typer.Option("--true-loss/--no-true-loss", help="Evaluate the checkpoints themselves."),
    ] = True,
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
    """Ask for the path of training on its principal plane; prints the job's id, or the
    landscape's.
    """
    require_outputs(output)
    left_out = [word.value for word in exclude or [] if word is not Ignore.none]
    with connect() as client:
        job = client.trajectory(
            model,
            dataset,
            checkpoints=checkpoint or "all",
            label=label,
            runs=[_run(text) for text in run or []],
            center=center.value,
            exclude=left_out,
            num=num,
            margin=margin,
            sampling=read_adaptive(adaptive),
            true_loss=true_loss,
            precision=precision.value,
            buffers=buffers.value,
            recalibration_samples=samples,
            tags=tag or [],
            priority=priority,
            force=force,
        )
        finish(job, wait=wait, timeout=timeout, outputs=output, view=view, as_json=as_json)


def _run(text: str) -> dict[str, Any]:
    label, equals, model = text.rpartition("=")
    return {"model": model, "label": label} if equals else {"model": text}
