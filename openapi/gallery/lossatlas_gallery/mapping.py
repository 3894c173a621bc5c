"""Puts networks and data into the service and asks for landscapes, each once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from lossatlas.client import Client
from lossatlas.errors import NotFoundError
from lossatlas.exporting import export_model
from lossatlas.jobs import Job
from lossatlas.values import Checkpoint, Dataset, Model
from torch import Tensor

from lossatlas_gallery.folder import Folder, Trained
from lossatlas_gallery.images import Images
from lossatlas_gallery.recipes import Recipe
from lossatlas_gallery.sections import Panel
from lossatlas_gallery.sizes import Size

PROJECT: Final = "gallery"
#: Of every random direction, so that all surfaces are cut along equally drawn ones.
SEED: Final = 1
REACH: Final = (-1.0, 1.0)
LINE: Final = (-0.5, 1.5)
#: Statistics carried along a line may turn negative beyond its ends, and mislead between them.
LINE_BUFFERS: Final = "recalibrate"
MARGIN: Final = 0.3

_Thing = TypeVar("_Thing")


@dataclass(frozen=True)
class Data:
    """The data sets in the service; surfaces are evaluated on `part`, ratios on `few`."""

    train: Dataset
    test: Dataset
    part: Dataset
    few: Dataset


@dataclass(frozen=True)
class Pushed:
    """A trained network in the service, its checkpoints in order."""

    digest: str
    model: Model
    checkpoints: tuple[Checkpoint, ...]

    @property
    def start(self) -> Checkpoint:
        """The weights before training."""
        return self.checkpoints[0]

    @property
    def end(self) -> Checkpoint:
        """The trained weights."""
        return self.checkpoints[-1]


class Mapper:
    """One service and the folder that remembers what it knows."""

    def __init__(self, client: Client, folder: Folder, size: Size, images: Images) -> None:
        self._client = client
        self._folder = folder
        self._size = size
        self._images = images

    def push_data(self) -> Data:
        """The data sets, sent if they are not there."""
        images, size = self._images, self._size
        train = (images.train_images, images.train_classes)
        return Data(
            train=self._dataset("train", "train", *train),
            test=self._dataset("test", "test", images.test_images, images.test_classes),
            part=self._dataset(f"{size.samples} of train", "train", *_first(train, size.samples)),
            few=self._dataset(
                f"{size.ratio_samples} of train", "train", *_first(train, size.ratio_samples)
            ),
        )

    def push(self, recipe: Recipe, trained: Trained) -> Pushed:
        """A network with all its kept weights, sent if they are not there."""
        client, digest = self._client, trained.digest

        def model() -> Model:
            program = self._folder.root / "networks" / digest[:16] / "program.pt2"
            network = recipe.build(self._images.channels, self._images.classes)
            export_model(network, self._images.test_images[:1], program)
            return client.push_model(
                program, project=PROJECT, name=recipe.title, tags=["gallery", recipe.slug]
            )

        pushed = self._known("model", digest, client.model, model)
        checkpoints = []
        for moment in trained.moments:
            last = moment is trained.moments[-1]
            score = trained.after if last else trained.before if not moment.epoch else None
            metrics: dict[str, float] = {} if score is None else score.metrics()

            def checkpoint(
                path: Path = moment.path,
                step: int = moment.step,
                epoch: int = moment.epoch,
                rate: float = moment.rate,
                metrics: Mapping[str, float] = metrics,
                label: str | None = "end" if last else None if moment.epoch else "start",
            ) -> Checkpoint:
                return client.push_checkpoint(
                    pushed,
                    path,
                    label=label,
                    step=step,
                    epoch=epoch,
                    metrics=metrics,
                    learning_rate=rate,
                )

            name = f"{pushed.id}:{moment.epoch}"
            checkpoints.append(self._known("checkpoint", name, client.checkpoint, checkpoint))
        return Pushed(digest, pushed, tuple(checkpoints))

    def ask(self, panel: Panel, networks: Mapping[str, Pushed], data: Data) -> Job:
        """The job of a panel: that of an earlier run, tried again if it came to nothing."""
        told: list[Any] = [panel.kind, panel.at, [networks[n].end.id for n in panel.networks]]
        told += [networks[panel.network].start.id, self._grid(panel), _ids(data), SEED]
        name = hashlib.sha256(json.dumps(told).encode()).hexdigest()
        job = self._known(
            "job", name, self._client.job, lambda: self._submitted(panel, networks, data)
        )
        if job.state in ("failed", "cancelled"):
            job.retry()
        return job

    def _submitted(self, panel: Panel, networks: Mapping[str, Pushed], data: Data) -> Job:
        client, size = self._client, self._size
        network, tags = networks[panel.network], ["gallery", panel.key]
        match panel.kind:
            case "surface":
                origin = network.start if panel.at == "start" else network.end
                return client.surface(
                    origin, [data.part], seed=SEED, num=size.num, range=REACH, tags=tags
                )
            case "line":
                assert panel.other is not None  # noqa: S101 - a line has two ends
                return client.interpolate(
                    network.end,
                    networks[panel.other].end,
                    [data.train, data.test],
                    num=size.line_num,
                    range=LINE,
                    buffers=LINE_BUFFERS,
                    tags=tags,
                )
            case "across":
                return client.line(
                    network.end,
                    [data.part],
                    seed=SEED,
                    repeats=size.repeats,
                    num=size.line_num,
                    range=self._reach(panel),
                    normalize=panel.normalize,
                    tags=tags,
                )
            case "path":
                return client.trajectory(
                    network.model,
                    [data.part],
                    checkpoints=network.checkpoints,
                    num=size.path_num,
                    margin=MARGIN,
                    tags=tags,
                )
            case "ratio":
                return client.convexity_map(
                    network.end, [data.few], seed=SEED, num=size.ratio_num, range=REACH, tags=tags
                )

    def _reach(self, panel: Panel) -> tuple[float, float]:
        return REACH if panel.normalize == "filter" else (-self._size.reach, self._size.reach)

    def _grid(self, panel: Panel) -> list[Any]:
        size = self._size
        grids: dict[str, list[Any]] = {
            "surface": [size.num, *REACH],
            "line": [size.line_num, *LINE, LINE_BUFFERS],
            "across": [size.line_num, *self._reach(panel), size.repeats, panel.normalize],
            "path": [size.path_num, MARGIN],
            "ratio": [size.ratio_num, *REACH],
        }
        return grids[panel.kind]

    def _dataset(self, name: str, split: str, inputs: Tensor, targets: Tensor) -> Dataset:
        known = f"{self._images.digest}:{name}"
        return self._known(
            "dataset",
            known,
            self._client.dataset,
            lambda: self._client.push_dataset(
                inputs, targets, project=PROJECT, name=name, split=split
            ),
        )

    def _known(
        self, kind: str, name: str, get: Callable[[str], _Thing], make: Callable[[], _Thing]
    ) -> _Thing:
        """What the service has under the id of an earlier run, or what is made now."""
        identity = self._folder.identity(kind, name)
        if identity is not None:
            try:
                return get(identity)
            except NotFoundError:
                # another service, or one that was emptied
                pass
        made = make()
        self._folder.remember(kind, name, made.id)  # type: ignore[attr-defined]
        return made


def _first(train: tuple[Tensor, Tensor], count: int) -> tuple[Tensor, Tensor]:
    return train[0][:count], train[1][:count]


def _ids(data: Data) -> list[str]:
    return [data.train.id, data.test.id, data.part.id, data.few.id]
