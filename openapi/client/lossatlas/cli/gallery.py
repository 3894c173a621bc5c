"""The command that starts the gallery, a program of the repository that is in no wheel."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from lossatlas.errors import InputError

_PROGRAM = "lossatlas_gallery"


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
    if find_spec(_PROGRAM) is None:
        raise InputError(
            "the gallery is a program of Lossatlas's repository, in no wheel; in a checkout of it: "
            "make gallery, or pip install -e 'openapi/client[demo]' -e openapi/gallery"
        )
    code: int = import_module(f"{_PROGRAM}.command").run(output, size=size, images=images)
    return code
