"""What a question refers to: ids and digests, each with the pointer of the field that names it.

Pure. Owns nothing but the shape: a kind says what it refers to, and one look-up finds all of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from service.domain.directions import AnyDirection, DirectionChoice

#: Which of a random seed's two streams of numbers, where the direction names none.
Stream = Literal["x", "y"]


class Recorded(Protocol):
    """What is on record of a checkpoint."""

    @property
    def label(self) -> str | None: ...
    @property
    def step(self) -> int | None: ...
    @property
    def epoch(self) -> float | None: ...
    @property
    def learning_rate(self) -> float | None: ...


@dataclass(frozen=True)
class Named:
    """An id, and the JSON pointer of the field that holds it."""

    id: str
    at: str


@dataclass(frozen=True)
class AskedDirection:
    """A direction, by id or given inline.

    Attributes:
        at: pointer of the direction; "" where its fields are the spec's own.
    """

    choice: DirectionChoice | AnyDirection
    at: str
    stream: Stream = "x"


@dataclass(frozen=True)
class AskedRun:
    """A training run: some of a model's checkpoints in order, or all that it has.

    Attributes:
        at: pointer of the run; "" where its fields are the spec's own.
        label: None is the model's name.
    """

    model: str
    checkpoints: Literal["all"] | tuple[str, ...]
    label: str | None
    at: str


@dataclass(frozen=True)
class References:
    """Everything that a spec names.

    Attributes:
        origin: the checkpoint that the question is about; None where it is the first run's last.
        target: the other end of a line.
        directions: by axis, as they are recorded: `x` and `y` span a plane.
        runs: of a path; the first one's last checkpoint is the origin.
    """

    datasets: tuple[Named, ...]
    origin: Named | None = None
    target: Named | None = None
    directions: Mapping[str, AskedDirection] = field(default_factory=dict)
    runs: tuple[AskedRun, ...] = ()

    @property
    def listed(self) -> tuple[str, ...]:
        """Checkpoints that runs name, one run after another."""
        return tuple(
            identity
            for run in self.runs
            if run.checkpoints != "all"
            for identity in run.checkpoints
        )


def named_datasets(datasets: tuple[str, ...]) -> tuple[Named, ...]:
    """The data sets of a spec, in order."""
    return tuple(Named(identity, f"/datasets/{i}") for i, identity in enumerate(datasets))
