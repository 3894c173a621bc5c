"""The runs of a path, judged: every checkpoint in order, of networks with the same tensors.

Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from service.domain.problems import Problem
from service.domain.questions.question import RecordedRun
from service.domain.questions.references import AskedRun
from service.inputs import recording
from service.inputs.finding import Found
from service.inputs.recording import Origin
from service.inputs.signatures import sockets_of
from service.ledger.records import CheckpointRecord, ModelRecord

#: Together, of all runs: the Gram matrix has this many rows.
MOST_CHECKPOINTS: Final = 5_000
_PLANE_NEEDS: Final = 3


@dataclass(frozen=True)
class Run:
    """One run: its model and its checkpoints in order."""

    model: ModelRecord
    checkpoints: tuple[CheckpointRecord, ...]
    label: str

    @property
    def recorded(self) -> RecordedRun:
        """As it stands in the recorded spec."""
        return RecordedRun([c.id for c in self.checkpoints], self.label)

    @property
    def question(self) -> dict[str, Any]:
        """The weights' digests, and what results show of checkpoints beside them."""
        return {
            "label": self.label,
            "checkpoints": [
                [c.weights, c.label, c.step, c.epoch, c.learning_rate] for c in self.checkpoints
            ],
        }


def origin_of(asked: Sequence[AskedRun], found: Found) -> Origin:
    """The last checkpoint of the first run.

    Raises:
        Problem: as `runs_of`; `model_refused`, `model_not_ready`.
    """
    first = _run(asked[0], found)
    return Origin(first.checkpoints[-1], first.model, sockets_of(first.model))


def runs_of(asked: Sequence[AskedRun], found: Found, origin: Origin) -> tuple[Run, ...]:
    """Every run of a path, held against the first.

    Raises:
        Problem: `invalid_request` for too little for a plane, `incompatible_inputs` for another
            project, another model's checkpoint, or networks with other tensors.
    """
    runs = []
    for one in asked:
        run = _run(one, found)
        if run.model.project != origin.model.project:
            raise Problem(
                "incompatible_inputs",
                f"{run.model.id} is in project {run.model.project!r}, the first run in "
                f"{origin.model.project!r}; a job stays in one project",
                pointer=f"{one.at}/model",
            )
        if run.model.id != origin.model.id:
            recording.require_same_tensors(origin.sockets, run.model, f"{one.at}/model")
        runs.append(run)
    count = sum(len(run.checkpoints) for run in runs)
    if not _PLANE_NEEDS <= count <= MOST_CHECKPOINTS:
        raise Problem(
            "invalid_request",
            f"the runs have {count} checkpoints; between {_PLANE_NEEDS} and "
            f"{MOST_CHECKPOINTS} are needed for a plane",
            pointer="/checkpoints",
        )
    return tuple(runs)


def _run(asked: AskedRun, found: Found) -> Run:
    model = found.models[asked.model]
    label = asked.label or model.name
    if asked.checkpoints == "all":
        every = found.of_models[model.id]
        if not every:
            raise Problem(
                "invalid_request",
                f"model {model.id} has no checkpoints yet; register them first",
                pointer=f"{asked.at}/model",
            )
        return Run(model, every, label)
    for i, identity in enumerate(asked.checkpoints):
        known = found.listed.get(identity)
        if known is None or known.model_id != model.id:
            raise Problem(
                "incompatible_inputs",
                f"{identity} is no checkpoint of model {model.id}; "
                f"GET /v1/models/{model.id}/checkpoints lists those there are",
                pointer=f"{asked.at}/checkpoints/{i}",
            )
    if not asked.checkpoints:
        raise Problem("invalid_request", "must not be empty", pointer=f"{asked.at}/checkpoints")
    return Run(model, tuple(found.listed[identity] for identity in asked.checkpoints), label)
