"""The evaluator of a curvature job's tiles: built once in a child and reused by its units."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from service.domain.results import Tile
from workers.computation.context import JobContext
from workers.computation.convexity import MapCurvature
from workers.computation.curvature import Question, Way
from workers.computation.directions import read_direction
from workers.computation.spectrum import PointCurvature


class CurvatureEvaluator(Protocol):
    """A map's cells, or everything about a single point."""

    def tile(self, request: Mapping[str, Any], on_progress: Callable[[int], None]) -> Tile:
        """Carries out a `tile` request; tells of cells, or of products at a single point."""
        ...


def build_curvature(context: JobContext, request: Mapping[str, Any]) -> CurvatureEvaluator:
    """The evaluator for a `tile` request's `curvature`: `{asked: spec, way: plan}`.

    Raises:
        EngineError: inputs do not fit, or the memory does not suffice.
        Problem: a direction's file cannot be read.
    """
    asked = request["curvature"]
    question = Question.of(asked["asked"])
    way = Way.of(asked["way"], request["batch_size"])
    directions = {
        axis: read_direction(context, Path(entry["path"]))
        for axis, entry in request["directions"].items()
    }
    kind = MapCurvature if question.mapped else PointCurvature
    return kind(context, question, way, directions)
