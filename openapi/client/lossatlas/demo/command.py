"""`python -m lossatlas.demo --output DIR`: the demonstration, against a service that runs."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch

import lossatlas
from lossatlas.cli.exits import code_of
from lossatlas.cli.output import error_lines
from lossatlas.demo.networks import DigitsNet
from lossatlas.demo.training import Digits, Score, initialised, load, score, train

PROJECT: Final = "demo"
#: Deep enough that training without skips shows in the landscape, small enough for two cores.
DEPTH: Final = 38
WIDTH: Final = 8
EPOCHS: Final = 30
#: The line begins at the weights of this epoch, and runs a little beyond the last ones. Running
#: statistics go along: those of an early network are no use to a trained one.
EARLY: Final = 3
LINE: Final = (0.0, 1.25)
SEED: Final = 0
#: Samples of the training set that surfaces are evaluated on.
SAMPLES: Final = 500
POINTS: Final = 25


@dataclass(frozen=True)
class Pushed:
    """A trained network in the service: its weights early on and at the end."""

    slug: str
    title: str
    early: lossatlas.Checkpoint
    final: lossatlas.Checkpoint


@dataclass(frozen=True)
class Data:
    """The data sets in the service; `part` is what surfaces are evaluated on."""

    train: lossatlas.Dataset
    test: lossatlas.Dataset
    part: lossatlas.Dataset


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the demonstration; 0 when every picture was written, else the client's exit codes."""
    parser = argparse.ArgumentParser(prog="python -m lossatlas.demo", description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("demo-output"))
    output: Path = parser.parse_args(argv).output
    began = time.monotonic()
    # one thread: the networks are too small for more, and the same sums give the same weights
    torch.set_num_threads(1)
    try:
        with lossatlas.Client(notice=_say) as client:
            written = _demonstrate(client, output)
    except lossatlas.LossatlasError as error:
        for line in error_lines(error):
            _say(line)
        return code_of(error)
    _say(f"\nDone in {time.monotonic() - began:.0f} s. Look at {output}/:")
    for path, words in written:
        _say(f"  {path.name:<34} {words}")
    return 0


def _demonstrate(client: lossatlas.Client, output: Path) -> list[tuple[Path, str]]:
    digits = load()
    data = _push_data(client, digits)
    pushed = [
        _trained(client, digits, output, slug, title, skip=skip)
        for slug, title, skip in (
            ("skip", f"ResNet-{DEPTH}", True),
            ("noskip", f"ResNet-{DEPTH} without skips", False),
        )
    ]
    _say("Asking for two lines and two surfaces …")
    lines = [
        client.interpolate(
            p.early, p.final, [data.train, data.test], range=LINE, buffers="interpolate"
        )
        for p in pushed
    ]
    surfaces = [client.surface(p.final, [data.part], seed=1, num=POINTS) for p in pushed]
    written = []
    for network, line in zip(pushed, lines, strict=True):
        words = f"{network.title}: from epoch {EARLY} to the end"
        written += _save(line, output / f"interpolation-{network.slug}", ("curve",), words)
    for network, surface in zip(pushed, surfaces, strict=True):
        words = f"{network.title}: filter-normalised surface around its last weights"
        views = ("contour", "surface")
        written += _save(surface, output / f"surface-{network.slug}", views, words)
    return written


def _push_data(client: lossatlas.Client, digits: Digits) -> Data:
    with _timed("Pushing the data sets"):
        return Data(
            train=client.push_dataset(
                digits.train_images,
                digits.train_classes,
                project=PROJECT,
                name="train",
                split="train",
            ),
            test=client.push_dataset(
                digits.test_images, digits.test_classes, project=PROJECT, name="test", split="test"
            ),
            part=client.push_dataset(
                digits.train_images[:SAMPLES],
                digits.train_classes[:SAMPLES],
                project=PROJECT,
                name="train subset",
                split="train",
            ),
        )


def _trained(
    client: lossatlas.Client, digits: Digits, output: Path, slug: str, title: str, *, skip: bool
) -> Pushed:
    """Trains one network and pushes it, with its weights early on and at the end."""
    network = initialised(lambda: DigitsNet(DEPTH, WIDTH, skip=skip), SEED)
    with _timed(f"Exporting {title}"):
        program = lossatlas.export_model(network, digits.test_images[:1], output / f"{slug}.pt2")
        model = client.push_model(program, project=PROJECT, name=title, tags=["demo", slug])
    early: list[lossatlas.Checkpoint] = []

    def told(done: int) -> None:
        _dot()
        if done == EARLY:
            early.append(client.push_checkpoint(model, network, label="early", epoch=EARLY))

    with _timed(f"Training {title}, {EPOCHS} epochs"):
        train(network, digits, epochs=EPOCHS, seed=SEED, told=told)
    reached = score(network, digits)
    _say(
        f"  train loss {reached.train_loss:.4f}, test loss {reached.test_loss:.4f}, "
        f"test accuracy {reached.test_accuracy:.1%}"
    )
    final = client.push_checkpoint(
        model, network, label="final", epoch=EPOCHS, metrics=_metrics(reached)
    )
    return Pushed(slug, title, early[0], final)


def _metrics(reached: Score) -> dict[str, float]:
    return {
        "train_loss": reached.train_loss,
        "test_loss": reached.test_loss,
        "test_accuracy": reached.test_accuracy,
    }


def _save(
    job: lossatlas.Job, stem: Path, views: Sequence[str], words: str
) -> list[tuple[Path, str]]:
    """Waits for a job and writes its figures and values."""
    landscape = job.wait()
    written = [(landscape.save_data(stem.with_suffix(".json")), f"{words}, as numbers")]
    for view in views:
        path = stem if len(views) == 1 else stem.with_name(f"{stem.name}-{view}")
        written.append((landscape.save(path.with_suffix(".png"), view), f"{words}, {view}"))
    _say(f"  {job.id} gave {landscape.id}: {stem.name}")
    return written


@contextmanager
def _timed(words: str) -> Iterator[None]:
    began = time.monotonic()
    sys.stdout.write(f"{words} ")
    sys.stdout.flush()
    yield
    _say(f" {time.monotonic() - began:.1f} s")


def _dot() -> None:
    sys.stdout.write(".")
    sys.stdout.flush()


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
