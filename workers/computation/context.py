"""A job opened in a child: its network, points and data, read once and kept for all its units.

Everything arrives as paths of verified objects and words.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from service.domain.problems import Problem
from workers.computation import tensors
from workers.engine.datasets import Dataset, dataset_from_tensors
from workers.engine.evaluation import Setting
from workers.engine.losses import Loss
from workers.engine.network import Network, Point, split_point
from workers.engine.placement import BufferPolicy
from workers.engine.precision import Precision
from workers.protocol import CanonicalProgram, NamedArchitecture, Open


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


def open_job(request: Open, *, base_bytes: int = 0) -> JobContext:
    """Reads a job's inputs.

    Raises:
        Problem, EngineError: an input does not fit the network; the sentence names it.
    """
    torch.set_num_threads(request.threads)
    network = read_network(request.model, request.memory_bytes)
    loss = Loss.named(request.loss, request.loss_options)
    points = {
        identity: split_point(
            network,
            tensors.read(Path(path), code="weights_invalid", what=f"checkpoint {identity}"),
        )
        for identity, path in request.weights.items()
    }
    datasets = tuple(
        dataset_from_tensors(
            file.name,
            tensors.read(Path(file.path), code="dataset_invalid", what=f"data set {file.name!r}"),
            network,
            loss,
        )
        for file in request.datasets
    )
    return JobContext(
        job=request.job,
        network=network,
        loss=loss,
        precision=Precision.named(request.precision),
        buffers=BufferPolicy.named(request.buffers),
        device=device_named(request.device),
        origin=points[request.origin],
        points=points,
        datasets=datasets,
        dataset_ids=tuple(file.id for file in request.datasets),
        recalibration_samples=request.recalibration_samples,
        base_bytes=base_bytes,
    )


def checkpoint(context: JobContext, named: str) -> Point:
    """A checkpoint that is open under its id, or in a file of this path.

    No more than one that is not open is held at a time.

    Raises:
        Problem, ParametersInvalid: the file does not fit the network.
    """
    known = context.points.get(named)
    if known is not None:
        return known
    name = Path(named).name
    read = tensors.read(Path(named), code="weights_invalid", what=f"checkpoint {name}")
    return split_point(context.network, read)


def read_network(
    model: CanonicalProgram | NamedArchitecture, memory_bytes: int | None = None
) -> Network:
    """The network of a canonical graph and its constants, or of a named architecture."""
    from workers.program.architectures import build_architecture
    from workers.program.canonical import load_canonical

    if isinstance(model, NamedArchitecture):
        return build_architecture(model.name, model.config)
    constants = None if model.constants is None else Path(model.constants)
    return load_canonical(Path(model.graph), constants, memory_bytes)


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
