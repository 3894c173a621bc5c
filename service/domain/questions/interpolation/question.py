"""The line through two checkpoints: what it refers to, and what it is called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from service.domain.derived import ends
from service.domain.derived.grid import ANY
from service.domain.derived.rule import Rule
from service.domain.directions import BetweenDirection
from service.domain.grids import Axis
from service.domain.plan import LINE_ANCHORS, Part
from service.domain.questions.interpolation.examples import EXAMPLES
from service.domain.questions.interpolation.measures import ACCURACIES, MEASURES
from service.domain.questions.interpolation.spec import InterpolationJob
from service.domain.questions.question import Extent, Question, Words
from service.domain.questions.references import AskedDirection, Named, References, named_datasets
from service.domain.results import GridResult


class Interpolation(Question[InterpolationJob]):
    """f(α) = L((1−α)θ + αθ′)."""

    kind: ClassVar = "interpolation"
    spec = InterpolationJob
    words: ClassVar = Words("Interpolation", "Loss along the line between two checkpoints")
    size_at: ClassVar = "/alpha"
    between_networks: ClassVar = True
    examples: ClassVar = EXAMPLES

    def shape(self, spec: InterpolationJob) -> tuple[int, ...]:
        return (spec.alpha.num,)

    def axes(
        self, spec: InterpolationJob, part: Part | None, extent: Extent | None
    ) -> tuple[Axis, None]:
        return spec.alpha, None

    def anchors(self, part: Part | None) -> tuple[tuple[float, float], ...]:
        return LINE_ANCHORS

    def compared(self, spec: InterpolationJob) -> Sequence[tuple[float, float]]:
        return [(a, 0.0) for a in (0.0, spec.alpha.max, 0.5, spec.alpha.min, 1.0)]

    def networks(self, spec: InterpolationJob) -> Sequence[tuple[str, str]]:
        return [("origin", spec.origin), ("target", spec.target)]

    def measures(self, result: GridResult) -> tuple[Rule, ...]:
        return (*ANY, *MEASURES)

    def accuracies(self, result: GridResult) -> tuple[Rule, ...]:
        return ACCURACIES

    @property
    def every_measure(self) -> tuple[Rule, ...]:
        return (*ANY, *MEASURES, *ACCURACIES, *ends.BESIDE)

    def references(self, spec: InterpolationJob) -> References:
        return References(
            origin=Named(spec.origin, "/origin"),
            target=Named(spec.target, "/target"),
            datasets=named_datasets(spec.datasets),
            directions={"x": AskedDirection(BetweenDirection(target=spec.target), "")},
        )

    def own_statistics(self, spec: Mapping[str, Any]) -> str:
        return "Both ends are evaluated with their own as well."
