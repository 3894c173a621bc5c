"""Lines along directions from a checkpoint: what they refer to, and what they are called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

from service.domain.derived import ends
from service.domain.derived.grid import ANY, CENTER, CENTER_ACCURACY
from service.domain.derived.rule import Rule
from service.domain.directions import RandomDirection
from service.domain.grids import Axis
from service.domain.plan import JobPlan, Part
from service.domain.questions.line.examples import EXAMPLES
from service.domain.questions.line.result import Lines, gathered
from service.domain.questions.line.spec import LineJob
from service.domain.questions.question import Extent, Question, RecordedRun, Words
from service.domain.questions.references import AskedDirection, Named, References, named_datasets
from service.domain.results import GridResult

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

    def axes(self, spec: LineJob, part: Part | None, extent: Extent | None) -> tuple[Axis, Axis]:
        # the second axis counts the directions
        return spec.alpha, Axis(min=0, max=spec.repeats - 1, num=spec.repeats)

    def compared(self, spec: LineJob) -> Sequence[tuple[float, float]]:
        return [(a, 0.0) for a in (0.0, spec.alpha.min, spec.alpha.max, spec.alpha.max / 2)]

    def networks(self, spec: LineJob) -> Sequence[tuple[str, str]]:
        return [("origin", spec.origin)]

    def network_role(self, axis: str) -> str | None:
        return "target"

    def finished(self, plan: JobPlan, result: GridResult) -> GridResult:
        """The mean line with all lines beside it."""
        return gathered(result)

    def members(
        self, result: GridResult, provenance: Mapping[str, Any]
    ) -> Mapping[str, dict[str, Any]]:
        lines = Lines.of(result)
        return {} if lines is None else {"line": lines.to_json(result)}

    def measures(self, result: GridResult) -> tuple[Rule, ...]:
        return (*ANY, CENTER)

    @property
    def every_measure(self) -> tuple[Rule, ...]:
        return (*ANY, CENTER, CENTER_ACCURACY, *ends.BESIDE)

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
