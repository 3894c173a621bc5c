"""The command that trains, maps and compares; needs the extra `demo`."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from lossatlas.errors import InputError


def gallery(
    *,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder; a second run there goes on.")
    ] = Path("gallery-output"),
    size: Annotated[
        str, typer.Option("--size", envvar="SIZE", help="tiny, small, standard or full.")
    ] = "standard",
    images: Annotated[
        Path | None,
        typer.Option("--images", envvar="IMAGES", help="For full: an .npz or .safetensors file."),
    ] = None,
) -> int:
    """Train networks, map them and answer the questions of Li et al. (2018) on one page."""
    missing = [name for name in ("torch", "sklearn") if find_spec(name) is None]
    if missing:
        raise InputError(
            f"gallery trains networks and needs {' and '.join(missing)}: "
            "pip install 'lossatlas[demo]'"
        )
    from lossatlas.gallery.command import run

    return run(output, size=size, images=images)
