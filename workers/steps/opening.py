"""Opens a job in its child: fetches what it reads, and says where that lies.

Owns the `open` request on the supervisor's side.
"""

from __future__ import annotations

from service.domain.questions.table import question_of
from workers.protocol import CanonicalProgram, DatasetFile, NamedArchitecture, Open
from workers.questions import table
from workers.tools import InHand


def open_job(hand: InHand) -> None:
    """Makes sure that a child has the unit's job open.

    Raises:
        UnitFailed: the inputs do not fit each other.
        Problem: an object is missing or corrupt in the store.
    """
    runner, assignment = hand.tools.runner, hand.assignment
    if runner.serves(assignment.job.id):
        return
    spec, origin = assignment.spec, assignment.job.origin
    if origin is None:
        raise ValueError(f"job {assignment.job.id} has no origin")
    whole = question_of(spec).opened_whole
    request = Open(
        job=assignment.job.id,
        half=table.computing(spec.kind),
        device=hand.tools.options.device,
        threads=threads_of(hand),
        memory_bytes=hand.tools.options.program_memory_bytes,
        model=_model(hand),
        loss=assignment.model.loss,
        loss_options=dict(assignment.model.loss_options),
        precision=spec.precision,
        buffers=spec.buffers,
        recalibration_samples=spec.recalibration.samples,
        weights={
            identity: str(hand.fetched(checkpoint.weights))
            for identity, checkpoint in assignment.checkpoints.items()
            if whole or identity == origin
        },
        origin=origin,
        datasets=tuple(
            DatasetFile(id=dataset.id, name=name, path=str(hand.fetched(dataset.object)))
            for name, dataset in zip(assignment.dataset_names, assignment.datasets, strict=True)
        ),
    )
    runner.open(assignment.job.id, request, hand.asking())


def threads_of(hand: InHand) -> int:
    """As many threads as the plan says: one more can move the last bit of a value."""
    plan = hand.assignment.claimed.inputs.plan
    return int(plan["threads"]) if plan else hand.tools.options.threads


def _model(hand: InHand) -> CanonicalProgram | NamedArchitecture:
    model = hand.assignment.model
    if model.architecture is not None:
        return NamedArchitecture.model_validate(model.architecture)
    if model.graph is None:
        raise ValueError(f"model {model.id} has no canonical graph")
    constants = None if model.constants is None else str(hand.fetched(model.constants))
    return CanonicalProgram(graph=str(hand.fetched(model.graph)), constants=constants)
