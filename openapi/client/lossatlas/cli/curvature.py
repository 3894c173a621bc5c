"""The command that asks for curvature."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from lossatlas.cli.following import finish, require_outputs
from lossatlas.cli.options import (
    AsJson,
    Datasets,
    Force,
    Ignore,
    Num,
    Output,
    Precision,
    PrecisionOption,
    Priority,
    Tags,
    Timeout,
    ViewOption,
    Wait,
    connect,
    read_num,
    read_range,
)
from lossatlas.client import Client
from lossatlas.errors import InputError
from lossatlas.jobs import Job


class TraceMethod(StrEnum):
    """How a trace is estimated."""

    deflated = "deflated"
    hutchinson = "hutchinson"
    hutchpp = "hutch++"
    xtrace = "xtrace"


def curvature(
    checkpoint: Annotated[str, typer.Argument(help="Id of the checkpoint.")],
    *,
    dataset: Datasets,
    map_: Annotated[
        bool, typer.Option("--map", help="λ_max, λ_min and their ratio over a plane instead.")
    ] = False,
    largest: Annotated[
        int | None,
        typer.Option("--largest", min=0, help="Most positive eigenvalues; 1 unless said."),
    ] = None,
    smallest: Annotated[
        int | None,
        typer.Option("--smallest", min=0, help="Most negative eigenvalues; 1 unless said."),
    ] = None,
    trace: Annotated[
        TraceMethod | None, typer.Option("--trace", help="Estimate the trace this way.")
    ] = None,
    samples: Annotated[int, typer.Option("--samples", min=2, help="Products for the trace.")] = 16,
    density: Annotated[bool, typer.Option("--density", help="The spectral density too.")] = False,
    layers: Annotated[bool, typer.Option("--layers", help="Of each layer too.")] = False,
    along: Annotated[
        list[str] | None,
        typer.Option("--along", help="Id of a saved direction to look along. Repeatable."),
    ] = None,
    exclude: Annotated[
        list[Ignore] | None,
        typer.Option("--exclude", help="bias, norm: parameters held fixed. Repeatable."),
    ] = None,
    tolerance: Annotated[
        float | None,
        typer.Option("--tolerance", help="Of residuals; 1e-5 at a point, 1e-3 on a map."),
    ] = None,
    max_products: Annotated[
        int, typer.Option("--max-products", min=2, help="Of one Lanczos run.")
    ] = 300,
    seed: Annotated[
        int, typer.Option("--seed", min=0, help="Of probes, and of a map's directions.")
    ] = 0,
    num: Num = "21",
    range_: Annotated[str, typer.Option("--range", help="Of a map's axes, as -1:1.")] = "-1:1",
    precision: PrecisionOption = Precision.float32,
    tag: Tags = None,
    priority: Priority = 0,
    force: Force = False,
    wait: Wait = False,
    timeout: Timeout = None,
    output: Output = None,
    view: ViewOption = None,
    as_json: AsJson = False,
) -> None:
    """Ask for the Hessian's spectrum at a checkpoint, or with --map for a convexity map."""
    require_outputs(output)
    excluded = [word.value for word in exclude or [] if word is not Ignore.none]
    at_a_point = {
        "--largest": largest is not None,
        "--smallest": smallest is not None,
        "--trace": trace is not None,
        "--density": density,
        "--layers": layers,
        "--along": bool(along),
    }

    def ask(client: Client) -> Job:
        if map_:
            return client.convexity_map(
                checkpoint,
                dataset,
                seed=seed,
                num=read_num(num),
                range=read_range("--range", range_),
                exclude=excluded,
                tolerance=tolerance,
                max_products=max_products,
                precision=precision.value,
                tags=tag or [],
                priority=priority,
                force=force,
            )
        return client.curvature(
            checkpoint,
            dataset,
            largest=1 if largest is None else largest,
            smallest=1 if smallest is None else smallest,
            trace=None if trace is None else trace.value,
            samples=samples,
            density=density,
            layers=layers,
            along=along or [],
            exclude=excluded,
            tolerance=tolerance,
            max_products=max_products,
            seed=seed,
            precision=precision.value,
            tags=tag or [],
            priority=priority,
            force=force,
        )

    wrong = [option for option, given in at_a_point.items() if given]
    if map_ and wrong:
        raise InputError(f"{', '.join(wrong)}: a map gives λ_max and λ_min only; ask without --map")
    with connect() as client:
        job = ask(client)
        finish(job, wait=wait, timeout=timeout, outputs=output, view=view, as_json=as_json)
