"""A job opened in a child: its network, points and data, read once and kept for all its units.

Owns the body of the `open` request. Everything arrives as paths of verified objects and words.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from service.domain.problems import Problem
from workers.computation import tensors
from workers.engine.datasets import Dataset, dataset_from_tensors
from workers.engine.evaluation import Setting
from workers.engine.losses import Loss
from workers.engine.network import Network, Point, split_point
from workers.engine.placement import BufferPolicy
from workers.engine.precision import Precision


@dataclass(frozen=True)
class JobContext:
    """What every unit of a job needs in memory.

    Attributes:
        points: checkpoints by id, the origin among them; others are ends of lines.
        dataset_ids: the ids of `datasets`, in the same order.
        recalibration_samples: how many of the first data set's samples running statistics are
            recomputed from, with those buffers.
        base_bytes: memory of the process before it opened the job.
    """

    job: str
    network: Network
    loss: Loss
    precision: Precision
    buffers: BufferPolicy
    device: torch.device
    origin: Point
    points: Mapping[str, Point]
    datasets: tuple[Dataset, ...]
    dataset_ids: tuple[str, ...] = ()
    recalibration_samples: int = 1024
    base_bytes: int = 0

    def dataset(self, identity: str) -> Dataset:
        """One of the job's data sets by its id.

        Raises:
            Problem: the job has none of this id.
        """
        for known, dataset in zip(self.dataset_ids, self.datasets, strict=True):
            if known == identity:
                return dataset
        raise Problem(
            "incompatible_inputs",
            f"{identity} is none of the job's data sets; name it among `datasets`",
        )

    def setting(self, batch_size: int, *, channels_last: bool = True) -> Setting:
        return Setting(
            network=self.network,
            loss=self.loss,
            batch_size=batch_size,
            precision=self.precision,
            device=self.device,
            channels_last=channels_last,
        )


def open_job(body: Mapping[str, Any], *, base_bytes: int = 0) -> JobContext:
    """Reads a job's inputs.

    Raises:
        Problem, EngineError: an input does not fit the network; the sentence names it.
    """
    torch.set_num_threads(body["threads"])
    network = read_network(body["model"])
    loss = Loss.named(body["loss"], body.get("loss_options"))
    points = {
        identity: split_point(
            network,
            tensors.read(Path(path), code="weights_invalid", what=f"checkpoint {identity}"),
        )
        for identity, path in body["weights"].items()
    }
    datasets = tuple(
        dataset_from_tensors(
            entry["name"],
            tensors.read(
                Path(entry["path"]), code="dataset_invalid", what=f"data set {entry['name']!r}"
            ),
            network,
            loss,
        )
        for entry in body["datasets"]
    )
    return JobContext(
        job=body["job"],
        network=network,
        loss=loss,
        precision=Precision.named(body["precision"]),
        buffers=BufferPolicy.named(body["buffers"]),
        device=device_named(body["device"]),
        origin=points[body["origin"]],
        points=points,
        datasets=datasets,
        dataset_ids=tuple(entry["id"] for entry in body["datasets"]),
        recalibration_samples=body["recalibration_samples"],
        base_bytes=base_bytes,
    )


def read_network(model: Mapping[str, Any]) -> Network:
    """The network of a canonical graph and its constants, or of a named architecture."""
    from workers.program.architectures import build_architecture
    from workers.program.canonical import load_canonical

    if "architecture" in model:
        architecture = model["architecture"]
        return build_architecture(architecture["name"], architecture["config"])
    constants = model.get("constants")
    return load_canonical(Path(model["graph"]), Path(constants) if constants else None)


def device_named(word: str) -> torch.device:
    """`auto` is CUDA where there is a device, else the CPU.

    Raises:
        Problem: CUDA is asked for and not there.
    """
    available = torch.cuda.is_available()
    if word == "auto":
        return torch.device("cuda" if available else "cpu")
    if word.startswith("cuda") and not available:
        raise Problem(
            "not_supported", "this worker has no CUDA device; run the job on one that has"
        )
    return torch.device(word)
