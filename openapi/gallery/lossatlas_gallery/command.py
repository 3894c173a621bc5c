"""`python -m lossatlas_gallery`: trains, maps and writes the page, against a service that runs."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import lossatlas
import torch
from lossatlas.cli.exits import DONE, INTERRUPTED, JOB_FAILED, code_of
from lossatlas.cli.output import error_lines

from lossatlas_gallery import images as pictures
from lossatlas_gallery.folder import Folder
from lossatlas_gallery.images import Images
from lossatlas_gallery.making import Maker, Outcome
from lossatlas_gallery.sizes import SIZES, Size, size_of

OUTPUT: Final = Path("gallery-output")


def main(argv: Sequence[str] | None = None) -> int:
    """Makes the gallery; 0 when every panel is there, else the client's exit codes."""
    parser = argparse.ArgumentParser(
        prog="python -m lossatlas_gallery",
        description="Asks the questions of Li et al. (2018) of networks trained here.",
    )
    parser.add_argument("--output", type=Path, default=OUTPUT)
    parser.add_argument("--size", default=None, help=f"one of {', '.join(SIZES)}; SIZE if left out")
    parser.add_argument(
        "--images", type=Path, default=None, help="file of images, for full; IMAGES if left out"
    )
    chosen = parser.parse_args(argv)
    try:
        return run(chosen.output, size=chosen.size, images=chosen.images)
    except lossatlas.LossatlasError as error:
        for line in error_lines(error):
            _say(line)
        return code_of(error)
    except KeyboardInterrupt:
        return INTERRUPTED


def run(output: Path, *, size: str | None = None, images: Path | None = None) -> int:
    """Makes the gallery in `output`.

    Args:
        size: a name of `SIZES`; the variable SIZE, or `standard`, when left out.
        images: of the size `full`; the variable IMAGES when left out.

    Returns:
        0, or 3 when a landscape could not be computed; the page then says why.

    Raises:
        InputError: another size, no CUDA device or no images where they are needed.
        LossatlasError: the service cannot be reached, or refuses.
        KeyboardInterrupt: after saying how to go on.
    """
    asked = size_of((size or os.environ.get("SIZE") or "standard").strip())
    device = _device(asked)
    data = _images(asked, images)
    # one thread: the networks are too small for more, and the same sums give the same weights
    torch.set_num_threads(1)
    try:
        with lossatlas.Client(notice=_say, progress=False) as client:
            outcome = Maker(client, Folder(output), asked, data, device, _say).make()
    except KeyboardInterrupt:
        _say("Stopped. The same command goes on from here.")
        raise
    return _told(outcome)


def _told(outcome: Outcome) -> int:
    for key, reason in outcome.missing.items():
        _say(f"No landscape {key}: {reason}")
    _say(f"Done in {outcome.seconds:.0f} s. Look at {outcome.page}")
    return JOB_FAILED if outcome.missing else DONE


def _device(size: Size) -> torch.device:
    if not size.paper:
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise lossatlas.InputError(
            f"SIZE={size.name} trains the paper's networks and needs a CUDA device; torch sees "
            "none here. Leave SIZE out for networks that two cores train in minutes."
        )
    return torch.device("cuda")


def _images(size: Size, path: Path | None) -> Images:
    if not size.paper:
        if path is not None:
            raise lossatlas.InputError(f"--images is for SIZE=full; SIZE={size.name} has its own")
        return pictures.digits(size.side)
    named = path or (Path(os.environ["IMAGES"]) if os.environ.get("IMAGES") else None)
    if named is None:
        raise lossatlas.InputError(
            f"SIZE={size.name} needs images: IMAGES=cifar10.npz with arrays images, labels, and "
            "perhaps test_images and test_labels. Nothing is downloaded."
        )
    return pictures.of_file(named)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
