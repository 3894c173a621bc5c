"""Surfaces over a plane: what they refer to, and what they are called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from service.domain.derived import ends
from service.domain.derived.grid import ANY, CENTER_ACCURACY, PLANE
from service.domain.derived.rule import Rule
from service.domain.grids import Axis
from service.domain.plan import Part
from service.domain.questions.planes import plane_of
from service.domain.questions.question import Extent, Question, RecordedRun, Words
from service.domain.questions.references import Named, References, named_datasets
from service.domain.questions.spec import Sampling
from service.domain.questions.surface.examples import EXAMPLES
from service.domain.questions.surface.spec import SurfaceJob
from service.domain.results import GridResult


class Surface(Question[SurfaceJob]):
    """f(α, β) = L(θ* + αδ + βη)."""

    kind: ClassVar = "surface"
    spec = SurfaceJob
    words: ClassVar = Words("Surface", "Loss surface", thumbnail="filled")
    examples: ClassVar = EXAMPLES

    def shape(self, spec: SurfaceJob) -> tuple[int, ...]:
        return spec.grid.shape

    def axes(self, spec: SurfaceJob, part: Part | None, extent: Extent | None) -> tuple[Axis, Axis]:
        return spec.grid.x, spec.grid.y

    def compared(self, spec: SurfaceJob) -> Sequence[tuple[float, float]]:
        """The centre, corners, and half-way."""
        x, y = spec.grid.x, spec.grid.y
        return [
            (0.0, 0.0),
            (x.min, y.min),
            (x.max / 2, y.max / 2),
            (x.max, y.max),
            (x.min / 2, y.max / 2),
        ]

    def orthogonalise(self, spec: SurfaceJob) -> bool:
        return spec.orthogonalise

    def surface_cells(self, spec: SurfaceJob) -> int:
        return spec.grid.cells

    def sampling(self, spec: SurfaceJob) -> Sampling:
        return spec.sampling

    def networks(self, spec: SurfaceJob) -> Sequence[tuple[str, str]]:
        return [("origin", spec.origin)]

    def network_role(self, axis: str) -> str | None:
        return axis

    def measures(self, result: GridResult) -> tuple[Rule, ...]:
        return (*ANY, *PLANE)

    @property
    def every_measure(self) -> tuple[Rule, ...]:
        return (*ANY, *PLANE, CENTER_ACCURACY, *ends.BESIDE)

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
