"""Surfaces over a plane: what they refer to, and what they are called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from service.domain.questions.planes import plane_of
from service.domain.questions.question import Question, RecordedRun, Words
from service.domain.questions.references import Named, References, named_datasets
from service.domain.questions.surface.examples import EXAMPLES
from service.domain.questions.surface.spec import SurfaceJob


class Surface(Question[SurfaceJob]):
    """f(α, β) = L(θ* + αδ + βη)."""

    kind: ClassVar = "surface"
    spec = SurfaceJob
    words: ClassVar = Words("Surface", "Loss surface", thumbnail="filled")
    examples: ClassVar = EXAMPLES

    def shape(self, spec: SurfaceJob) -> tuple[int, ...]:
        return spec.grid.shape

    def references(self, spec: SurfaceJob) -> References:
        return References(
            origin=Named(spec.origin, "/origin"),
            datasets=named_datasets(spec.datasets),
            directions=plane_of(spec.directions, self.directions_at),
        )

    def recorded(
        self,
        spec: SurfaceJob,
        body: Mapping[str, Any],
        directions: Mapping[str, Any],
        runs: Sequence[RecordedRun],
    ) -> dict[str, Any]:
        return {**body, "directions": dict(directions)}
