"""A job's inputs, judged before anything is written: which of them belong together. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

from service.domain.definitions import is_of_today
from service.domain.directions import (
    EigenvectorDirection,
    GradientDirection,
    UploadedDirection,
)
from service.domain.problems import Problem
from service.domain.questions.question import Question
from service.domain.questions.references import AskedDirection, References
from service.domain.questions.spec import BufferPolicy, QuestionSpec
from service.inputs import lookup, recording
from service.inputs.directions import SPEC, Spec, spec_digest, with_axis
from service.inputs.finding import Found
from service.inputs.lookup import Caller
from service.inputs.recording import Needs, Origin
from service.inputs.signatures import sockets_of
from service.jobs import runs
from service.jobs.runs import Run
from service.ledger.records import CheckpointRecord, DatasetRecord, DirectionRecord


@dataclass(frozen=True)
class Wanted:
    """A direction that a job asks for: one on record, or a spec to be put on record.

    Attributes:
        saved: the record, when it was named by id and belongs to the job's origin.
        at: pointer of the direction in the body.
    """

    spec: Spec
    saved: DirectionRecord | None
    needs: Needs
    at: str


@dataclass(frozen=True)
class Inputs:
    """Everything that a job refers to, fitting together.

    Attributes:
        directions: by axis, as the question names them.
        runs: of a path.
    """

    origin: Origin
    target: CheckpointRecord | None
    datasets: tuple[DatasetRecord, ...]
    directions: Mapping[str, Wanted]
    runs: tuple[Run, ...] = ()


def require_size(question: Question[QuestionSpec], spec: QuestionSpec, limit: int) -> None:
    """Raises Problem `grid_too_large`, with the fix, when the grid has more than `limit` cells."""
    cells = prod(question.shape(spec))
    if cells > limit:
        raise Problem(
            "grid_too_large",
            f"the grid has {cells} cells; at most {limit} are computed in one job. Lower `num`",
            pointer=question.size_at,
        )


def judge(
    question: Question[QuestionSpec],
    spec: QuestionSpec,
    references: References,
    found: Found,
    caller: Caller,
) -> Inputs:
    """Holds what was found against each other.

    Raises:
        Problem: `forbidden`, `model_refused`, `model_not_ready`, `not_supported`,
            `invalid_request`, `direction_invalid`, and `incompatible_inputs` or
            `targets_invalid` naming what differs.
    """
    origin = _origin(references, found, caller)
    _require_recalibratable(spec, origin)
    chosen = runs.runs_of(references.runs, found, origin) if references.runs else ()
    for named in references.datasets:
        recording.require_evaluable(origin, found.datasets[named.id], named.at)
    datasets = tuple(found.datasets[named.id] for named in references.datasets)
    question.require_possible(spec, origin.model.signature or {})
    fitting = _Fitting(found, origin, datasets)
    made = question.axes_of_path(spec, [c.id for run in chosen for c in run.checkpoints])
    return Inputs(
        origin,
        None if references.target is None else found.checkpoints[references.target.id],
        datasets,
        {axis: Wanted(direction, None, Needs(), "") for axis, direction in made.items()}
        | {axis: fitting.direction(asked) for axis, asked in references.directions.items()},
        chosen,
    )


def require_two_directions(question: Question[QuestionSpec], specs: Mapping[str, Spec]) -> None:
    """Raises Problem `direction_invalid` where the directions of a plane are one."""
    if {"x", "y"} <= specs.keys() and spec_digest(specs["x"]) == spec_digest(specs["y"]):
        raise Problem(
            "direction_invalid",
            "x and y are the same direction, so they span a line and no plane; give y another "
            "seed, target, object or prefix",
            pointer=f"{question.directions_at}/y",
        )


def _origin(references: References, found: Found, caller: Caller) -> Origin:
    if references.origin is None:
        first = references.runs[0]
        origin = runs.origin_of(references.runs, found)
        lookup.may_submit(caller, origin.model.project, f"{first.at}/model")
        return origin
    checkpoint = found.checkpoints[references.origin.id]
    model = found.model_of(checkpoint)
    lookup.may_submit(caller, model.project, references.origin.at)
    return Origin(checkpoint, model, sockets_of(model))


def _require_recalibratable(spec: QuestionSpec, origin: Origin) -> None:
    """Raises Problem `not_supported` where running statistics cannot be recomputed."""
    if spec.buffers is not BufferPolicy.RECALIBRATE:
        return
    if not (origin.model.signature or {}).get("recalibratable", False):
        raise Problem(
            "not_supported",
            f"the running statistics of model {origin.model.name!r} cannot be recomputed: "
            + (
                "it is a named architecture; register it as an exported program"
                if origin.model.program is None
                else "a batch norm's are constants of the program; export a module that keeps "
                "them as buffers"
            )
            + ", or use the buffers `frozen` or `interpolate`",
            pointer="/buffers",
        )


@dataclass(frozen=True)
class _Fitting:
    """Directions at an origin, for a job over these data sets."""

    found: Found
    origin: Origin
    datasets: tuple[DatasetRecord, ...]

    def direction(self, asked: AskedDirection) -> Wanted:
        """A direction given inline, or by id."""
        choice, at = asked.choice, asked.at
        if not isinstance(choice, str):
            made = self._over_data(with_axis(choice, asked.stream), at)
            return Wanted(made, None, recording.needs_of(self.found, self.origin, made, at), at)
        saved = self.found.directions[choice]
        if saved.project != self.origin.model.project:
            raise Problem(
                "incompatible_inputs",
                f"{choice} is in project {saved.project!r}, the origin in "
                f"{self.origin.model.project!r}",
                pointer=at,
            )
        if saved.checkpoint_id != self.origin.checkpoint.id:
            return self._borrowed(saved, at)
        own: Spec = SPEC.validate_python(saved.spec)
        if not is_of_today(saved.spec, saved.spec_digest):
            return self._of_older_definitions(saved, own, at)
        if saved.object is None:
            own = self._over_data(own, at)
            if own.kind == "pca":
                raise _unmade(saved, at)
        return Wanted(own, saved, recording.needs_of(self.found, self.origin, own, at), at)

    def _over_data(self, spec: Spec, at: str) -> Spec:
        """A gradient or eigenvector over one of the job's data sets, the first unless named."""
        if not isinstance(spec, GradientDirection | EigenvectorDirection):
            return spec
        chosen = spec.dataset or self.datasets[0].id
        if chosen not in {dataset.id for dataset in self.datasets}:
            raise Problem(
                "incompatible_inputs",
                f"the {spec.kind} is taken over {chosen}, which is none of the job's data sets; "
                "add it to `datasets`",
                pointer=f"{at}/dataset",
            )
        return spec.model_copy(update={"dataset": chosen})

    def _of_older_definitions(self, saved: DirectionRecord, own: Spec, at: str) -> Wanted:
        """A direction of an earlier release: its very tensors where it has them, and else made
        under today's definitions, as if it were given inline.
        """
        if saved.object is not None:
            return Wanted(UploadedDirection(object=saved.object), None, Needs(), at)
        own = self._over_data(own, at)
        if own.kind == "pca":
            raise _unmade(saved, at)
        return Wanted(own, None, recording.needs_of(self.found, self.origin, own, at), at)

    def _borrowed(self, saved: DirectionRecord, at: str) -> Wanted:
        """A direction made at another checkpoint: its very tensors, as uploaded ones would be."""
        made_at = self.found.models.get(saved.model_id)
        if made_at is not None and made_at.id != self.origin.model.id:
            recording.require_same_tensors(self.origin.sockets, made_at, at)
        if saved.object is None:
            raise Problem(
                "incompatible_inputs",
                f"{saved.id} was made for {saved.checkpoint_id} and has no tensors yet; use it "
                "there first, or give its spec inline",
                pointer=at,
            )
        return Wanted(UploadedDirection(object=saved.object), None, Needs(), at)


def _unmade(saved: DirectionRecord, at: str) -> Problem:
    return Problem(
        "incompatible_inputs",
        f"{saved.id} is a component of a trajectory whose job has not made it yet; wait for that "
        "job",
        pointer=at,
    )
