"""What the child's half of a kind of question is. Knows no kind.

Owns the interface between the child's loop and the kinds: one object for one job, from its opening
to its last tile, which keeps what its units share.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from service.domain import results
from workers.computation.context import JobContext
from workers.protocol import MessagePart, Prepare, Prepared, Tile


@dataclass(frozen=True)
class Decided:
    """The answer to `prepare`, and the tensors of the directions as safetensors, by axis."""

    answer: Prepared
    objects: Mapping[str, bytes]


class Half(ABC):
    """One job in a child.

    Attributes:
        prepare_part: the type of the part that a request to prepare has, where it has one.
        tile_part: the same of a tile's.
    """

    prepare_part: ClassVar[type[MessagePart] | None] = None
    tile_part: ClassVar[type[MessagePart] | None] = None

    def __init__(self, context: JobContext) -> None:
        self.context = context

    @abstractmethod
    def prepare(self, request: Prepare) -> Decided:
        """Decides what is decided once for the whole job.

        Raises:
            Problem, EngineError: an input is not usable; MemoryExceeded when one sample is too
                much.
        """

    @abstractmethod
    def tile(self, request: Tile, on_progress: Callable[[int], None]) -> results.Tile:
        """The values of some cells.

        Args:
            on_progress: told how much is done, in the unit that the plan counts its work in.
        Raises:
            Problem, EngineError: a file is not usable; MemoryExceeded at the plan's batch size.
        """
