"""The path of training on its plane: what it refers to, and what it is called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from numpy.typing import NDArray

from service.domain.derived.grid import ANY, CENTER_ACCURACY, PLANE
from service.domain.derived.rule import Rule
from service.domain.directions import PcaDirection
from service.domain.grids import Axis
from service.domain.plan import PLANE_ANCHORS, JobPlan, Part
from service.domain.questions.question import Extent, Question, RecordedRun, Words
from service.domain.questions.references import AskedRun, Recorded, References, named_datasets
from service.domain.questions.spec import Sampling
from service.domain.questions.trajectory import result as path
from service.domain.questions.trajectory.part import TrajectoryPart
from service.domain.questions.trajectory.spec import TrajectoryJob
from service.domain.results import GridResult


class Trajectory(Question[TrajectoryJob]):
    """The checkpoints of one run or several, on the plane of their principal components."""

    kind: ClassVar = "trajectory"
    spec = TrajectoryJob
    words: ClassVar = Words(
        "Trajectory", "Loss surface on the plane of training", thumbnail="filled"
    )
    size_at: ClassVar = "/surface/num"
    between_networks: ClassVar = True
    opened_whole: ClassVar = False

    part: ClassVar = TrajectoryPart

    def shape(self, spec: TrajectoryJob) -> tuple[int, ...]:
        return (spec.surface.num, spec.surface.num)

    def axes(
        self, spec: TrajectoryJob, part: Part | None, extent: Extent | None
    ) -> tuple[Axis, Axis]:
        """As far as the path needs."""
        if extent is None:
            raise ValueError("how far the path reaches is not known")
        x, y = (Axis(min=low, max=high, num=spec.surface.num) for low, high in extent)
        return x, y

    def anchors(self, part: Part | None) -> tuple[tuple[float, float], ...]:
        """After the centre the places of the checkpoints."""
        places = part.coordinates if isinstance(part, TrajectoryPart) else ()
        return PLANE_ANCHORS + places

    def sampling(self, spec: TrajectoryJob) -> Sampling:
        return spec.sampling

    def attachments(
        self, plan: JobPlan, spec: TrajectoryJob, checkpoints: Mapping[str, Recorded]
    ) -> dict[str, NDArray[Any]]:
        part = plan.part
        return path.attachments(part, spec, checkpoints) if isinstance(part, TrajectoryPart) else {}

    def provenance(self, plan: JobPlan, spec: TrajectoryJob) -> dict[str, Any]:
        part = plan.part
        if not isinstance(part, TrajectoryPart):
            return {}
        return {self.kind: path.provenance(part, spec, plan.buffers)}

    def members(
        self, result: GridResult, provenance: Mapping[str, Any]
    ) -> Mapping[str, dict[str, Any]]:
        found = path.Trajectory.of(result)
        return {} if found is None else {self.kind: found.to_json(result)}

    def measures(self, result: GridResult) -> tuple[Rule, ...]:
        return (*ANY, *PLANE)

    @property
    def every_measure(self) -> tuple[Rule, ...]:
        return (*ANY, *PLANE, CENTER_ACCURACY)

    def references(self, spec: TrajectoryJob) -> References:
        own = AskedRun(spec.model, spec.checkpoints, spec.label, "")
        others = (
            AskedRun(run.model, run.checkpoints, run.label, f"/runs/{i}")
            for i, run in enumerate(spec.runs)
        )
        return References(datasets=named_datasets(spec.datasets), runs=(own, *others))

    def axes_of_path(
        self, spec: TrajectoryJob, checkpoints: Sequence[str]
    ) -> Mapping[str, PcaDirection]:
        return {
            axis: PcaDirection.model_validate(
                {
                    "checkpoints": tuple(checkpoints),
                    "component": component,
                    "center": spec.center,
                    "exclude": spec.exclude,
                }
            )
            for axis, component in (("x", 1), ("y", 2))
        }

    def recorded(
        self,
        spec: TrajectoryJob,
        body: Mapping[str, Any],
        directions: Mapping[str, Any],
        runs: Sequence[RecordedRun],
    ) -> dict[str, Any]:
        first, *others = runs
        return {
            **body,
            "checkpoints": list(first.checkpoints),
            "label": first.label,
            "runs": [
                {**asked, "checkpoints": list(run.checkpoints), "label": run.label}
                for asked, run in zip(body["runs"], others, strict=True)
            ],
        }

    def unasked(self, spec: TrajectoryJob) -> frozenset[str]:
        # the one way there was: what was computed then is the answer still
        return frozenset({"sampling"}) if spec.sampling.mode == "exact" else frozenset()

    def own_statistics(self, spec: Mapping[str, Any]) -> str:
        own = "The true losses of checkpoints are with their own."
        return own if spec.get("true_loss", True) else ""
