"""The path of training on its plane: what it refers to, and what it is called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from service.domain.directions import PcaDirection
from service.domain.questions.question import Question, RecordedRun, Words
from service.domain.questions.references import AskedRun, References, named_datasets
from service.domain.questions.trajectory.spec import TrajectoryJob


class Trajectory(Question[TrajectoryJob]):
    """The checkpoints of one run or several, on the plane of their principal components."""

    kind: ClassVar = "trajectory"
    spec = TrajectoryJob
    words: ClassVar = Words(
        "Trajectory", "Loss surface on the plane of training", thumbnail="filled"
    )
    size_at: ClassVar = "/surface/num"
    between_networks: ClassVar = True

    def shape(self, spec: TrajectoryJob) -> tuple[int, ...]:
        return (spec.surface.num, spec.surface.num)

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
