"""Checkpoints that are in memory already, as the engine's source of a path."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor


class LoadedCheckpoints:
    """A `workers.engine.trajectory.CheckpointSource`."""

    def __init__(self, checkpoints: Sequence[Mapping[str, Tensor]]) -> None:
        self._checkpoints = tuple(checkpoints)

    @property
    def count(self) -> int:
        return len(self._checkpoints)

    def read(self, index: int, name: str, start: int, stop: int) -> Tensor:
        return self._checkpoints[index][name].detach().reshape(-1)[start:stop].cpu()
