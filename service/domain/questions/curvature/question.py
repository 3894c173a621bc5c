"""Curvature at a checkpoint or over a plane: what it refers to, and what it is called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

from service.domain.questions.curvature.eigenvalues import require_eigenvalues
from service.domain.questions.curvature.spec import CurvatureJob
from service.domain.questions.planes import plane_of
from service.domain.questions.question import Question, RecordedRun, Words
from service.domain.questions.references import AskedDirection, Named, References, named_datasets

#: Axes of the directions that curvature is given along: `along0`, `along1`, …
AXIS: Final = "along"


class Curvature(Question[CurvatureJob]):
    """The Hessian's spectrum, or a map of its ends."""

    kind: ClassVar = "curvature"
    spec = CurvatureJob
    words: ClassVar = Words("Curvature", "Curvature of the loss")
    size_at: ClassVar = "/map/grid"
    directions_at: ClassVar = "/map/directions"
    recalibratable: ClassVar = False

    def shape(self, spec: CurvatureJob) -> tuple[int, ...]:
        return (1,) if spec.map is None else spec.map.grid.shape

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
