"""The workers' children for the benchmarks: real processes, spoken to as a supervisor does.

What they are given is what a job gives them: the canonical graph of an uploaded program, weights,
a data set and directions as files. So the whole engine is measured as production runs it: program
reader, binder, folding and fusing, the child's environment, the tile's protocol.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import lossatlas
from safetensors.torch import save_file
from torch import Tensor, nn

from service.domain.digests import digest_bytes
from service.domain.questions.spec import BufferPolicy, Precision
from service.domain.results import Tile
from workers import protocol, sandbox
from workers.childprocess import Child
from workers.computation.tensors import encode_direction
from workers.engine.direction import Direction
from workers.frames import Frame
from workers.protocol import (
    CanonicalProgram,
    DatasetFile,
    DirectionFile,
    Ingest,
    Message,
    Open,
    Prepare,
    ReadyDirection,
)
from workers.questions import table
from workers.sandbox import Limits

_SECONDS = 600.0
#: What the plan hands on to every tile.
KEPT = ("batch_size", "channels_last", "combine_first")


class Failed(AssertionError):
    """A child's answer was no `done`."""


class Job:
    """A plane over one data set as files in a folder, ready to be opened by children."""

    def __init__(
        self,
        folder: Path,
        module: nn.Module,
        inputs: Tensor,
        targets: Tensor,
        directions: Mapping[str, Direction],
        *,
        threads: int = 1,
        cells: int = 2601,
    ) -> None:
        folder.mkdir(parents=True)
        self.folder, self.threads, self.cells = folder, threads, cells
        lossatlas.export_model(module.eval(), (inputs[:2],), folder / "program.pt2")
        state = {n: t.detach().clone().contiguous() for n, t in module.state_dict().items()}
        save_file(state, folder / "weights")
        save_file({"inputs": inputs.contiguous(), "targets": targets}, folder / "data")
        self.axes = tuple(sorted(directions))
        self._digests: dict[str, str] = {}
        for axis, direction in directions.items():
            data = encode_direction(direction)
            (folder / axis).write_bytes(data)
            # as the plan has it: by this a child knows what it prepared
            self._digests[axis] = digest_bytes(data)
        # a child may be another user
        for file in folder.iterdir():
            file.chmod(0o644)

    def ingest(self, child: Child) -> None:
        """Has the program checked, probed and put into the form that is kept."""
        archive = str(self.folder / "program.pt2")
        done = ask(child, Ingest(loss="cross_entropy", device="cpu", archive=archive))
        (self.folder / "graph").write_bytes(done.blobs[0])
        if len(done.blobs) > 1:
            (self.folder / "constants").write_bytes(done.blobs[1])

    def opening(self, precision: str) -> Open:
        constants = self.folder / "constants"
        return Open(
            job=f"job of {self.folder.name}",
            half=table.computing("surface"),
            device="cpu",
            threads=self.threads,
            model=CanonicalProgram(
                graph=str(self.folder / "graph"),
                constants=str(constants) if constants.exists() else None,
            ),
            loss="cross_entropy",
            precision=Precision(precision),
            buffers=BufferPolicy.FROZEN,
            recalibration_samples=1,
            weights={"origin": str(self.folder / "weights")},
            origin="origin",
            datasets=(DatasetFile(id="data", name="data", path=str(self.folder / "data")),),
        )

    def preparing(self) -> Prepare:
        return Prepare(
            directions={
                axis: ReadyDirection(materialised=str(self.folder / axis)) for axis in self.axes
            },
            cells=self.cells,
        )

    def tile(self, plan: Mapping[str, Any], points: Sequence[tuple[float, float]]) -> protocol.Tile:
        return protocol.Tile(
            **plan,
            indices=tuple(range(len(points))),
            points=tuple(points),
            directions={
                axis: DirectionFile(digest=self._digests[axis], path=str(self.folder / axis))
                for axis in self.axes
            },
        )


class Fleet:
    """Several children that have one job open, as so many workers on this machine would.

    Attributes:
        prepared: what the first one decided for all.
        peaks: bytes that each child held at most, as of its last tile.
    """

    def __init__(
        self,
        job: Job,
        precision: str,
        *,
        processes: int,
        keep: Sequence[str] = KEPT,
    ) -> None:
        self._job, self.peaks = job, list[int]()
        limits, confinement = Limits(threads=job.threads), sandbox.describe()
        self._children = [
            Child(limits=limits, readable=[job.folder], confinement=confinement)
            for _ in range(processes)
        ]
        first = self._children[0]
        if not (job.folder / "graph").exists():
            job.ingest(first)
        for child in self._children:
            ask(child, job.opening(precision))
        self.prepared = dict(ask(first, job.preparing()).body)
        self._plan = {name: self.prepared[name] for name in keep if name in self.prepared}

    def evaluate(self, points: Sequence[tuple[float, float]]) -> list[Tile]:
        """Every child evaluates all the points at the same time; one tile each."""
        for child in self._children:
            child.send(self._job.tile(self._plan, points).frame())
            # a request is written while its reply is waited for: all of them first
            if child.poll(0.0) is not None:
                raise Failed("an answer before the question was out")
        answers = [_wait(child) for child in self._children]
        self.peaks = [int(answer.body["peak_memory_bytes"]) for answer in answers]
        return [Tile.from_npz(answer.blobs[0]) for answer in answers]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for child in self._children:
            child.kill()


def ask(child: Child, request: Message) -> Frame:
    """The `done` of one request. Raises Failed for anything else."""
    child.send(request.frame())
    return _wait(child)


def _wait(child: Child) -> Frame:
    deadline = time.monotonic() + _SECONDS
    while time.monotonic() < deadline:
        frame = child.poll(1.0)
        if frame is None or frame.type == "progress":
            continue
        if frame.type != "done":
            raise Failed(str(frame.body))
        return frame
    raise Failed("no answer in time")
