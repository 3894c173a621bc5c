"""Commands that push: models, data sets, checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lossatlas.cli.options import (
    AsJson,
    Loss,
    Project,
    ReductionOption,
    Tags,
    connect,
    read_numbers,
    read_pairs,
)
from lossatlas.cli.output import result, say, show_json
from lossatlas.values import Checkpoint, Dataset, Model

File = Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True)]


def push_model(
    program: Annotated[
        Path | None,
        typer.Argument(
            exists=True, dir_okay=False, readable=True, help="A .pt2 by lossatlas.export_model."
        ),
    ] = None,
    *,
    project: Project,
    name: Annotated[str, typer.Option("--name", help="For people.")],
    loss: Annotated[Loss, typer.Option("--loss")] = Loss.cross_entropy,
    reduction: ReductionOption = None,
    architecture: Annotated[
        str | None,
        typer.Option("--architecture", help="Instead of a program: one the service knows."),
    ] = None,
    tag: Tags = None,
    metadata: Annotated[
        list[str] | None, typer.Option("--meta", help="name=value, kept beside. Repeatable.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Register a network; prints its id."""
    with connect() as client:
        model = client.push_model(
            program,
            project=project,
            name=name,
            loss=loss.value,
            reduction=reduction,
            architecture=architecture,
            tags=tag or [],
            metadata=read_pairs("--meta", metadata),
        )
    _show(model, as_json, f"{model.name}: {model.state}")


def push_checkpoint(
    model: Annotated[str, typer.Argument(help="Id of the model.")],
    weights: File,
    *,
    label: Annotated[str | None, typer.Option("--label")] = None,
    step: Annotated[int | None, typer.Option("--step", min=0)] = None,
    epoch: Annotated[float | None, typer.Option("--epoch", min=0)] = None,
    learning_rate: Annotated[float | None, typer.Option("--learning-rate", min=0)] = None,
    metric: Annotated[
        list[str] | None, typer.Option("--metric", help="name=number. Repeatable.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Register weights (safetensors) of a model; prints their id."""
    with connect() as client:
        checkpoint = client.push_checkpoint(
            model,
            weights,
            label=label,
            step=step,
            epoch=epoch,
            learning_rate=learning_rate,
            metrics=read_numbers("--metric", metric),
        )
    _show(checkpoint, as_json, f"checkpoint {checkpoint.seq} of {checkpoint.model}")


def push_dataset(
    data: File,
    *,
    project: Project,
    name: Annotated[str, typer.Option("--name", help="For people, and in figures.")],
    split: Annotated[str | None, typer.Option("--split", help="train, test, …")] = None,
    as_json: AsJson = False,
) -> None:
    """Register samples (safetensors with inputs and targets); prints their id."""
    with connect() as client:
        dataset = client.push_dataset(data, project=project, name=name, split=split)
    _show(dataset, as_json, f"{dataset.name}: {dataset.samples} samples")


def _show(value: Model | Checkpoint | Dataset, as_json: bool, words: str) -> None:
    if as_json:
        show_json(value)
    else:
        say(words)
        result(value.id)
