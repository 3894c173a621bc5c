"""Use cases of jobs: submit once and only once, cancel, retry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

from service.domain.digests import digest_json
from service.domain.directions import BetweenDirection
from service.domain.questions.question import Question
from service.domain.questions.spec import QuestionSpec
from service.domain.questions.table import question_of
from service.http.idempotency import reused
from service.http.services import Services
from service.inputs import recording
from service.inputs.directions import Spec, spec_json
from service.inputs.finding import find
from service.inputs.lookup import Caller
from service.inputs.plain import plain_json
from service.jobs import digest
from service.jobs.request import Inputs, judge, require_size, require_two_directions
from service.ledger import jobs
from service.ledger.records import Idempotency, JobRecord, NewJob
from service.ledger.session import Session


@dataclass(frozen=True)
class Submitted:
    """The job that answers a request.

    Attributes:
        new: whether this request made it; otherwise it was there, live or succeeded.
        replayed: whether the same Idempotency-Key had made it before.
    """

    job: JobRecord
    new: bool
    replayed: bool = False


def submit(
    services: Services, caller: Caller, spec: QuestionSpec, idempotency_key: str | None
) -> Submitted:
    """Records a job and its first unit, or finds the job that already answers the question.

    Inputs are judged between two transactions; what is recorded is immutable, so nothing that was
    judged can have changed. Only the second one writes.

    Raises:
        Problem: whatever is wrong with the request; `idempotency_key_reused` for another body
            under a used key.
    """
    question, request = question_of(spec), digest_json(plain_json(spec))
    references = question.references(spec)
    with services.database.transaction() as session:
        replayed = _replayed(session, caller, idempotency_key, request)
        if replayed is not None:
            return replayed
        require_size(question, spec, services.settings.max_grid_cells)
        found = find(session, caller, references)
    inputs = judge(question, spec, references, found, caller)
    specs: dict[str, Spec] = {
        axis: wanted.spec
        if wanted.saved is not None
        else recording.judge(
            services.store,
            inputs.origin,
            wanted.spec,
            wanted.needs,
            at=wanted.at,
            axis="y" if axis == "y" else "x",
        )
        for axis, wanted in inputs.directions.items()
    }
    require_two_directions(question, specs)
    digest = _digest(spec, inputs, specs)
    with services.database.transaction() as session:
        replayed = _replayed(session, caller, idempotency_key, request)
        if replayed is not None:
            return replayed
        project = inputs.origin.model.project
        same = None if spec.force else jobs.find_same(session, project, digest)
        if same is not None:
            return Submitted(same, new=False)
        recorded = {
            axis: (
                inputs.directions[axis].saved
                or recording.record(session, caller, inputs.origin, resolved)
            ).id
            for axis, resolved in specs.items()
        }
        job = jobs.submit(
            session,
            NewJob(
                project=project,
                kind=spec.kind,
                spec=_resolved(question, spec, inputs, specs),
                input_digest=digest,
                model_id=inputs.origin.model.id,
                origin=inputs.origin.checkpoint.id,
                directions=recorded,
                priority=spec.priority,
                cells_total=prod(question.shape(spec)),
                tags=tuple(sorted(spec.tags)),
                force=spec.force,
                created_by=caller.key.id,
                idempotency=None
                if idempotency_key is None
                else Idempotency(idempotency_key, caller.key.id, request),
            ),
        )
        return Submitted(job, new=True)


def _replayed(session: Session, caller: Caller, key: str | None, request: str) -> Submitted | None:
    if key is None:
        return None
    found = jobs.find_idempotent(session, key, caller.key.id)
    if found is None:
        return None
    earlier, job_id = found
    if earlier != request:
        raise reused(key, f"job {job_id}")
    job = jobs.get(session, job_id)
    return None if job is None else Submitted(job, new=False, replayed=True)


def _digest(spec: QuestionSpec, inputs: Inputs, specs: Mapping[str, Spec]) -> str:
    model = inputs.origin.model
    return digest.input_digest(
        spec,
        program=digest.Program(
            model.program, model.architecture, str(model.loss), model.loss_options
        ),
        origin=inputs.origin.checkpoint.weights,
        target=None if inputs.target is None else inputs.target.weights,
        datasets=[digest.Samples(d.object, d.name) for d in inputs.datasets],
        directions={
            axis: digest.Direction(
                spec_json(resolved),
                target.weights
                if isinstance(resolved, BetweenDirection)
                and (target := inputs.directions[axis].needs.target) is not None
                else None,
                None
                if (dataset := inputs.directions[axis].needs.dataset) is None
                else dataset.object,
            )
            for axis, resolved in specs.items()
        },
        path=[run.question for run in inputs.runs],
    )


def _resolved(
    question: Question[QuestionSpec],
    spec: QuestionSpec,
    inputs: Inputs,
    specs: Mapping[str, Spec],
) -> dict[str, Any]:
    """The spec as recorded: defaults filled in, inline directions settled, saved ones by id."""
    shown = {
        axis: saved.id
        if (saved := inputs.directions[axis].saved) is not None
        else spec_json(resolved)
        for axis, resolved in specs.items()
    }
    return question.recorded(spec, plain_json(spec), shown, [run.recorded for run in inputs.runs])
