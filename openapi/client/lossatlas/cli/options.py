"""Options that several commands share, and the reading of their values."""

from __future__ import annotations

import os
import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from lossatlas.cli.output import say
from lossatlas.client import Client
from lossatlas.errors import InputError


class View(StrEnum):
    """Ways to draw."""

    curve = "curve"
    contour = "contour"
    filled = "filled"
    heatmap = "heatmap"
    surface = "surface"
    spectrum = "spectrum"
    layers = "layers"
    weights = "weights"


class Format(StrEnum):
    """Files of a landscape."""

    png = "png"
    svg = "svg"
    html = "html"
    json = "json"
    npz = "npz"
    h5 = "h5"
    vts = "vts"


class Loss(StrEnum):
    """Named losses."""

    cross_entropy = "cross_entropy"
    mse = "mse"
    l1 = "l1"
    huber = "huber"
    bce_with_logits = "bce_with_logits"
    nll = "nll"
    program = "program"


class Reduction(StrEnum):
    """What counts alike in the mean over a data set."""

    sample = "sample"
    position = "position"


class Normalize(StrEnum):
    """How random directions are scaled."""

    filter = "filter"
    layer = "layer"
    weight = "weight"
    dfilter = "dfilter"
    dlayer = "dlayer"
    none = "none"


class Ignore(StrEnum):
    """One-dimensional tensors that a direction leaves alone."""

    bias = "bias"
    norm = "norm"
    none = "none"


class Precision(StrEnum):
    """Arithmetic of the forward pass."""

    float32 = "float32"
    float64 = "float64"
    tf32 = "tf32"
    bf16 = "bf16"


class Buffers(StrEnum):
    """What running statistics do along a direction."""

    frozen = "frozen"
    interpolate = "interpolate"
    recalibrate = "recalibrate"


class Center(StrEnum):
    """What a path's components are relative to."""

    final = "final"
    mean = "mean"


ReductionOption = Annotated[
    Reduction | None,
    typer.Option(
        "--reduction",
        envvar="LOSSATLAS_REDUCTION",
        help="What counts alike in the mean loss; samples when left out, positions (tokens, "
        "pixels) as language models are reported.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on stdout, errors included.")]
Project = Annotated[
    str,
    typer.Option("--project", envvar="LOSSATLAS_PROJECT", help="Made on first use."),
]
Wait = Annotated[
    bool, typer.Option("--wait/--no-wait", help="Wait for the result; --output waits anyway.")
]
Timeout = Annotated[
    float | None,
    typer.Option("--timeout", min=0, help="Seconds to wait at most; exit code 4 after that."),
]
Output = Annotated[
    list[Path] | None,
    typer.Option(
        "--output",
        "-o",
        help="Write the result here; the suffix says how: .png .svg .html .json .npz .h5 .vts. "
        "Repeatable.",
    ),
]
ViewOption = Annotated[
    View | None, typer.Option("--view", help="How to draw; chosen by the kind when left out.")
]
Datasets = Annotated[
    list[str],
    typer.Option("--dataset", "-d", help="Id of a data set to evaluate on. Repeatable."),
]
Num = Annotated[str, typer.Option("--num", help="Points a side: 51, or 51x25 along x and y.")]
Tags = Annotated[list[str] | None, typer.Option("--tag", help="Repeatable.")]
Force = Annotated[bool, typer.Option("--force", help="Compute again even if the answer is there.")]
Priority = Annotated[
    int, typer.Option("--priority", min=-10, max=10, help="Higher goes first in the project.")
]
PrecisionOption = Annotated[Precision, typer.Option("--precision")]
BuffersOption = Annotated[
    Buffers, typer.Option("--buffers", help="Running statistics along the direction.")
]

RecalibrationSamples = Annotated[
    int | None,
    typer.Option("--samples", min=2, help="To recalibrate from; 1024 when left out."),
]

Adaptive = Annotated[
    str | None,
    typer.Option(
        "--adaptive",
        metavar="TOLERANCE",
        help="Evaluate few cells and interpolate the others within this, such as 3% or 0.03, "
        "of the loss.",
    ),
]

_RANGE = re.compile(r"([^:]+):([^:]+)")
_NUM = re.compile(r"(\d+)(?:\s*[x,×]\s*(\d+))?")


def connect() -> Client:
    """The client of every command. Raises ConfigurationError."""
    seconds = os.environ.get("LOSSATLAS_RETRY_SECONDS", "30")
    try:
        patience = float(seconds)
    except ValueError:
        raise InputError(f"LOSSATLAS_RETRY_SECONDS is {seconds!r}; give seconds") from None
    return Client(retry_seconds=patience, notice=lambda words: say(f"lossatlas: {words}"))


def read_range(option: str, text: str) -> tuple[float, float]:
    """`-1:1` as numbers. Raises InputError naming the option."""
    found = _RANGE.fullmatch(text.strip())
    try:
        if found is None:
            raise ValueError
        return float(found[1]), float(found[2])
    except ValueError:
        raise InputError(f"{option} {text!r}: give two numbers, such as -1:1") from None


def read_num(text: str) -> tuple[int, int]:
    """`51` or `51x25` as points along x and y. Raises InputError."""
    found = _NUM.fullmatch(text.strip())
    if found is None:
        raise InputError(f"--num {text!r}: give points a side, such as 51 or 51x25")
    nx = int(found[1])
    return nx, int(found[2]) if found[2] else nx


def read_adaptive(text: str | None) -> str | dict[str, Any]:
    """`3%` or `0.03` as adaptive sampling to this tolerance, nothing as `exact`.

    Raises InputError.
    """
    if text is None:
        return "exact"
    number = text.strip()
    percent = number.endswith("%")
    try:
        tolerance = float(number.removesuffix("%")) / (100 if percent else 1)
    except ValueError:
        raise InputError(f"--adaptive {text!r}: give a tolerance, such as 3% or 0.03") from None
    return {"mode": "adaptive", "tolerance": tolerance}


def read_pairs(option: str, items: list[str] | None) -> dict[str, str]:
    """`name=value` items as a mapping. Raises InputError naming the option."""
    pairs = {}
    for item in items or []:
        name, equals, value = item.partition("=")
        if not equals or not name:
            raise InputError(f"{option} {item!r}: give name=value")
        pairs[name] = value
    return pairs


def read_numbers(option: str, items: list[str] | None) -> dict[str, float]:
    """`name=number` items as a mapping. Raises InputError naming the option."""
    numbers: dict[str, Any] = read_pairs(option, items)
    for name, value in numbers.items():
        try:
            numbers[name] = float(value)
        except ValueError:
            raise InputError(f"{option} {name}={value}: {value!r} is no number") from None
    return numbers
