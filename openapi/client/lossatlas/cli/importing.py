"""Commands that read other services' records."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lossatlas.cli.options import AsJson, Loss, ReductionOption, connect
from lossatlas.cli.output import result, say, show_json
from lossatlas.integrations.mlflow import import_run


def import_mlflow(
    run_id: Annotated[str, typer.Argument(help="Id of the MLflow run.")],
    *,
    project: Annotated[
        str | None,
        typer.Option("--project", envvar="LOSSATLAS_PROJECT", help="Of a new model."),
    ] = None,
    model: Annotated[str | None, typer.Option("--model", help="Add to this one.")] = None,
    program: Annotated[
        Path | None,
        typer.Option(
            "--program", exists=True, dir_okay=False, help="A .pt2; the run's own by default."
        ),
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="Of a new model.")] = None,
    loss: Annotated[Loss, typer.Option("--loss")] = Loss.cross_entropy,
    reduction: ReductionOption = None,
    tracking_uri: Annotated[
        str | None, typer.Option("--tracking-uri", envvar="MLFLOW_TRACKING_URI")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Add an MLflow run's safetensors artifacts as checkpoints; prints the model's id.

    Nothing is unpickled: models in PyTorch's own format are not read.
    """
    with connect() as client:
        imported = import_run(
            run_id,
            client=client,
            model=model,
            project=project,
            name=name,
            program=program,
            loss=loss.value,
            reduction=reduction,
            tracking_uri=tracking_uri,
        )
    if as_json:
        show_json(
            {
                "model": imported.model.model_dump(mode="json"),
                "checkpoints": [c.model_dump(mode="json") for c in imported.checkpoints],
                "skipped": [{"path": s.path, "reason": s.reason} for s in imported.skipped],
            }
        )
        return
    for checkpoint in imported.checkpoints:
        say(f"checkpoint {checkpoint.seq}: {checkpoint.label}")
    for skipped in imported.skipped:
        say(f"not read: {skipped.path}: {skipped.reason}")
    result(imported.model.id)
