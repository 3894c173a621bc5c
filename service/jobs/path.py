"""The runs of a trajectory: every checkpoint found, in order, of networks with the same tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from service.domain.directions import PcaDirection
from service.domain.jobs import TrajectoryJob, TrajectoryRun
from service.domain.problems import Problem
from service.inputs import lookup, recording
from service.inputs.lookup import Caller
from service.inputs.recording import Origin
from service.inputs.signatures import sockets_of
from service.ledger import checkpoints
from service.ledger.records import CheckpointRecord, ModelRecord
from service.ledger.session import Session

#: Together, of all runs: the Gram matrix has this many rows.
MOST_CHECKPOINTS: Final = 5_000
_PLANE_NEEDS: Final = 3


@dataclass(frozen=True)
class Run:
    """One run: its model and its checkpoints in order."""

    model: ModelRecord
    checkpoints: tuple[CheckpointRecord, ...]
    label: str


@dataclass(frozen=True)
class Path:
    """All runs; the origin is the first one's last checkpoint."""

    origin: Origin
    runs: tuple[Run, ...]

    @property
    def ids(self) -> tuple[str, ...]:
        """Of every checkpoint, one run after another."""
        return tuple(c.id for run in self.runs for c in run.checkpoints)

    @property
    def question(self) -> list[dict[str, Any]]:
        """Run by run the weights' digests, and what results show of checkpoints beside them."""
        return [
            {
                "label": run.label,
                "checkpoints": [
                    [c.weights, c.label, c.step, c.epoch, c.learning_rate] for c in run.checkpoints
                ],
            }
            for run in self.runs
        ]

    def direction(self, spec: TrajectoryJob, component: int) -> PcaDirection:
        """The plane's axis as it will be recorded."""
        return PcaDirection.model_validate(
            {
                "checkpoints": self.ids,
                "component": component,
                "center": spec.center,
                "exclude": spec.exclude,
            }
        )

    def resolved(self, body: dict[str, Any]) -> dict[str, Any]:
        """The recorded spec with every checkpoint and every run named."""
        first, *others = self.runs
        return {
            **body,
            "checkpoints": [c.id for c in first.checkpoints],
            "label": first.label,
            "runs": [
                {**asked, "checkpoints": [c.id for c in run.checkpoints], "label": run.label}
                for asked, run in zip(body["runs"], others, strict=True)
            ],
        }


def find_path(session: Session, caller: Caller, spec: TrajectoryJob) -> Path:
    """Finds a trajectory's checkpoints.

    Raises:
        Problem: `invalid_request` for what is not there or too little for a plane,
            `incompatible_inputs` for another project, another model's checkpoint, or networks
            with other tensors; `model_refused`, `model_not_ready`.
    """
    own = TrajectoryRun(model=spec.model, checkpoints=spec.checkpoints, label=spec.label)
    first = _run(session, caller, own, "")
    origin = Origin(first.checkpoints[-1], first.model, sockets_of(first.model))
    runs = [first]
    for i, asked in enumerate(spec.runs):
        at = f"/runs/{i}"
        run = _run(session, caller, asked, at)
        if run.model.project != first.model.project:
            raise Problem(
                "incompatible_inputs",
                f"{run.model.id} is in project {run.model.project!r}, the first run in "
                f"{first.model.project!r}; a job stays in one project",
                pointer=f"{at}/model",
            )
        if run.model.id != first.model.id:
            recording.require_same_tensors(origin.sockets, run.model, f"{at}/model")
        runs.append(run)
    path = Path(origin, tuple(runs))
    if len(path.ids) < _PLANE_NEEDS or len(path.ids) > MOST_CHECKPOINTS:
        raise Problem(
            "invalid_request",
            f"the runs have {len(path.ids)} checkpoints; between {_PLANE_NEEDS} and "
            f"{MOST_CHECKPOINTS} are needed for a plane",
            pointer="/checkpoints",
        )
    return path


def _run(session: Session, caller: Caller, asked: TrajectoryRun, at: str) -> Run:
    model = lookup.model_named(session, caller, asked.model, f"{at}/model")
    if asked.checkpoints == "all":
        found = checkpoints.all_of(session, model.id)
        if not found:
            raise Problem(
                "invalid_request",
                f"model {model.id} has no checkpoints yet; register them first",
                pointer=f"{at}/model",
            )
        return Run(model, tuple(found), asked.label or model.name)
    known = checkpoints.for_ids(session, asked.checkpoints)
    for i, identity in enumerate(asked.checkpoints):
        if identity not in known or known[identity].model_id != model.id:
            raise Problem(
                "incompatible_inputs",
                f"{identity} is no checkpoint of model {model.id}; "
                f"GET /v1/models/{model.id}/checkpoints lists those there are",
                pointer=f"{at}/checkpoints/{i}",
            )
    if not asked.checkpoints:
        raise Problem("invalid_request", "must not be empty", pointer=f"{at}/checkpoints")
    return Run(
        model, tuple(known[identity] for identity in asked.checkpoints), asked.label or model.name
    )
