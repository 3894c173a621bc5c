"""The child's halves called directly, with requests in plain JSON, read as a child reads them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from service.domain import results
from workers.computation import tile
from workers.computation.context import JobContext
from workers.computation.evaluators import Space
from workers.computation.grid import GridHalf
from workers.computation.half import Half
from workers.engine.network import Point
from workers.engine.surface import CellEvaluator
from workers.frames import Frame
from workers.protocol import MessagePart, Prepare, Tile
from workers.questions import table


@dataclass(frozen=True)
class Prepared:
    """What a half decided: its answer as JSON, the directions' tensors, and what it keeps."""

    half: Half
    body: dict[str, Any]
    objects: Mapping[str, bytes]

    @property
    def space(self) -> Space:
        return self._kept[0]

    @property
    def evaluator(self) -> CellEvaluator:
        return self._kept[1]

    @property
    def _kept(self) -> tuple[Space, CellEvaluator]:
        assert isinstance(self.half, GridHalf)
        assert self.half.kept is not None
        return self.half.kept


def half(kind: str, context: JobContext) -> Half:
    """The child's half of a kind, with a job open."""
    made: Half = import_module(table.computing(kind).module).HALF(context)
    return made


def prepare(context: JobContext, request: Mapping[str, Any], kind: str = "surface") -> Prepared:
    """Carries out a request to prepare."""
    opened = half(kind, context)
    asked = Prepare.read(Frame("prepare", _json(request)), opened.prepare_part)
    decided = opened.prepare(asked)
    return Prepared(opened, decided.answer.model_dump(mode="json"), decided.objects)


def tile_of(request: Mapping[str, Any], part: type[MessagePart] | None = None) -> Tile:
    """A request for a tile; what all cells share may be left out."""
    return Tile.read(Frame("tile", _json({"batch_size": 1, **request})), part)


def evaluate_tile(
    evaluator: CellEvaluator,
    space: Space,
    request: Mapping[str, Any],
    on_progress: Callable[[int], None],
    read_checkpoint: Callable[[str], Point] | None = None,
) -> results.Tile:
    """The cells of a request by an evaluator."""
    return tile.evaluate_tile(
        evaluator, space, tile_of(request), on_progress, read_checkpoint or _none
    )


def _none(name: str) -> Point:
    raise AssertionError(f"{name} was asked for")


def _json(body: Mapping[str, Any]) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(json.dumps(body))
    return read
