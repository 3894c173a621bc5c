"""The measures of results that tests lay out by hand, without a job that says their kind."""

from __future__ import annotations

from typing import Any

from service.domain.derived.measures import measure as of_kind
from service.domain.questions.curvature.result import has_map, is_point
from service.domain.questions.line.result import Lines
from service.domain.questions.table import question_named
from service.domain.questions.trajectory.result import Trajectory
from service.domain.results import GridResult


def measure(result: GridResult) -> dict[str, Any]:
    """Every measure of a result of the kind that it looks like."""
    question = question_named(_kind(result))
    assert question is not None
    return of_kind(question, result)


def _kind(result: GridResult) -> str:
    if is_point(result) or has_map(result):
        return "curvature"
    if Lines.of(result) is not None:
        return "line"
    if result.y is None:
        return "interpolation"
    return "surface" if Trajectory.of(result) is None else "trajectory"
