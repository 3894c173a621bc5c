"""Lines along directions from a checkpoint: what they refer to, and what they are called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

from service.domain.directions import RandomDirection
from service.domain.questions.line.examples import EXAMPLES
from service.domain.questions.line.spec import LineJob
from service.domain.questions.question import Question, RecordedRun, Words
from service.domain.questions.references import AskedDirection, Named, References, named_datasets

#: Axes of the directions that are looked along one by one: `line0`, `line1`, …
AXIS: Final = "line"


class Line(Question[LineJob]):
    """f(α) = L(θ + αd), along one direction or along several, one by one."""

    kind: ClassVar = "line"
    spec = LineJob
    words: ClassVar = Words("Line", "Loss along random lines")
    size_at: ClassVar = "/alpha"
    examples: ClassVar = EXAMPLES

    def shape(self, spec: LineJob) -> tuple[int, ...]:
        return (spec.repeats, spec.alpha.num)

    def references(self, spec: LineJob) -> References:
        return References(
            origin=Named(spec.origin, "/origin"),
            datasets=named_datasets(spec.datasets),
            directions={
                f"{AXIS}{k}": AskedDirection(choice, "/direction")
                for k, choice in enumerate(_directions(spec))
            },
        )

    def recorded(
        self,
        spec: LineJob,
        body: Mapping[str, Any],
        directions: Mapping[str, Any],
        runs: Sequence[RecordedRun],
    ) -> dict[str, Any]:
        return {**body, "direction": directions[f"{AXIS}0"]}


def _directions(spec: LineJob) -> Sequence[Any]:
    """One direction, or random ones of growing seeds."""
    if not isinstance(spec.direction, RandomDirection):
        return [spec.direction]
    first = spec.direction.seed
    return [
        spec.direction.model_copy(update={"seed": seed})
        for seed in range(first, first + spec.repeats)
    ]
