"""Curvature at a checkpoint or over a plane: what it refers to, and what it is called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

from service.domain.derived.grid import ANY, CENTER, CENTER_ACCURACY, PLANE
from service.domain.derived.rule import Rule
from service.domain.grids import Axis
from service.domain.plan import JobPlan, Part
from service.domain.questions.curvature.eigenvalues import require_eigenvalues
from service.domain.questions.curvature.measures import MAP, SPECTRUM
from service.domain.questions.curvature.part import CurvaturePart
from service.domain.questions.curvature.result import curvature_json, has_map
from service.domain.questions.curvature.spec import CurvatureJob
from service.domain.questions.planes import plane_of
from service.domain.questions.question import Extent, Question, RecordedRun, Words
from service.domain.questions.references import AskedDirection, Named, References, named_datasets
from service.domain.results import GridResult

#: Axes of the directions that curvature is given along: `along0`, `along1`, …
AXIS: Final = "along"
_ORIGIN: Final = Axis(min=0.0, max=0.0, num=1)


class Curvature(Question[CurvatureJob]):
    """The Hessian's spectrum, or a map of its ends."""

    kind: ClassVar = "curvature"
    spec = CurvatureJob
    words: ClassVar = Words("Curvature", "Curvature of the loss")
    size_at: ClassVar = "/map/grid"
    directions_at: ClassVar = "/map/directions"
    recalibratable: ClassVar = False

    part: ClassVar = CurvaturePart

    def shape(self, spec: CurvatureJob) -> tuple[int, ...]:
        return (1,) if spec.map is None else spec.map.grid.shape

    def axes(
        self, spec: CurvatureJob, part: Part | None, extent: Extent | None
    ) -> tuple[Axis, Axis | None]:
        """The map's axes, or the origin alone: a line of one cell."""
        return (_ORIGIN, None) if spec.map is None else (spec.map.grid.x, spec.map.grid.y)

    def orthogonalise(self, spec: CurvatureJob) -> bool:
        return spec.map is not None and spec.map.orthogonalise

    def provenance(self, plan: JobPlan, spec: CurvatureJob) -> dict[str, Any]:
        return {} if plan.part is None else {self.kind: plan.part.model_dump()}

    def title(self, spec: CurvatureJob) -> str:
        return self.kind if spec.map is None else "convexity map"

    def members(
        self, result: GridResult, provenance: Mapping[str, Any]
    ) -> Mapping[str, dict[str, Any]]:
        body = curvature_json(
            result,
            directions=provenance.get("directions") or {},
            timings=provenance.get("timings") or {},
        )
        return {} if body is None else {self.kind: body}

    def measures(self, result: GridResult) -> tuple[Rule, ...]:
        return (CENTER,) if result.y is None else (*ANY, *PLANE)

    def first_measures(self, result: GridResult) -> tuple[Rule, ...]:
        if result.y is None:
            return SPECTRUM
        return MAP if has_map(result) else ()

    @property
    def every_measure(self) -> tuple[Rule, ...]:
        return (*ANY, *PLANE, CENTER_ACCURACY, *SPECTRUM, *MAP)

    def references(self, spec: CurvatureJob) -> References:
        plane = {} if spec.map is None else plane_of(spec.map.directions, self.directions_at)
        along = {
            f"{AXIS}{i}": AskedDirection(choice, f"/along/{i}")
            for i, choice in enumerate(spec.along)
        }
        return References(
            origin=Named(spec.origin, "/origin"),
            datasets=named_datasets(spec.datasets),
            directions=plane | along,
        )

    def recorded(
        self,
        spec: CurvatureJob,
        body: Mapping[str, Any],
        directions: Mapping[str, Any],
        runs: Sequence[RecordedRun],
    ) -> dict[str, Any]:
        settled = {
            **body,
            "along": [directions[f"{AXIS}{i}"] for i in range(len(spec.along))],
        }
        if spec.map is not None:
            plane = {axis: directions[axis] for axis in ("x", "y")}
            settled["map"] = {**body["map"], "directions": plane}
        return settled

    def require_possible(self, spec: CurvatureJob, signature: Mapping[str, Any]) -> None:
        require_eigenvalues(spec, signature)

    def lies_along(self, axis: str) -> bool:
        return not axis.startswith(AXIS)

    def own_statistics(self, spec: Mapping[str, Any]) -> str:
        return ""
