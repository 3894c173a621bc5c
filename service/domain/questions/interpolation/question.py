"""The line through two checkpoints: what it refers to, and what it is called."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from service.domain.directions import BetweenDirection
from service.domain.questions.interpolation.examples import EXAMPLES
from service.domain.questions.interpolation.spec import InterpolationJob
from service.domain.questions.question import Question, Words
from service.domain.questions.references import AskedDirection, Named, References, named_datasets


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

    def references(self, spec: InterpolationJob) -> References:
        return References(
            origin=Named(spec.origin, "/origin"),
            target=Named(spec.target, "/target"),
            datasets=named_datasets(spec.datasets),
            directions={"x": AskedDirection(BetweenDirection(target=spec.target), "")},
        )

    def own_statistics(self, spec: Mapping[str, Any]) -> str:
        return "Both ends are evaluated with their own as well."
