"""`ingest`: a model's program bound and probed once, and its canonical form stored.

Owns the verdict's way into the ledger: ready with a signature, or refused with a problem.
"""

from __future__ import annotations

from service.ledger import units
from workers.childprocess import ChildDied
from workers.protocol import Ingest, Ingested, NamedArchitecture
from workers.runner import UnitFailed
from workers.tools import InHand


def carry_out(hand: InHand) -> None:
    """Raises UnitFailed only for failures that another attempt may not have."""
    assignment, tools = hand.assignment, hand.tools
    unit = assignment.unit
    try:
        answer, blobs = tools.runner.request(
            assignment.job.id, _request(hand), Ingested.read, hand.asking()
        )
    except UnitFailed as failure:
        if failure.retry:
            raise
        problem = failure.problem

        def refuse() -> None:
            with tools.database.transaction() as session:
                units.report_refused(session, unit.id, unit.attempt, problem)

        hand.persist(refuse, "reporting a refusal")
        return
    if len(blobs) > 2:
        raise ChildDied("the child's answer holds more than a program")
    types = ("application/json", "application/vnd.safetensors")
    stored = [
        hand.store_bytes(data, content_type)
        for data, content_type in zip(blobs, types, strict=False)
    ]
    graph, constants = (*stored, None, None)[:2]

    def report() -> None:
        with tools.database.transaction() as session:
            units.report_ingested(
                session,
                unit.id,
                unit.attempt,
                signature=answer.signature,
                graph=graph,
                constants=constants,
                sizes=dict(zip(stored, map(len, blobs), strict=True)),
            )

    hand.persist(report, "reporting a model")


def _request(hand: InHand) -> Ingest:
    model = hand.assignment.model
    archive = None if model.program is None else str(hand.fetched(model.program))
    return Ingest(
        loss=model.loss,
        loss_options=dict(model.loss_options),
        device=hand.tools.options.device,
        memory_bytes=hand.tools.options.program_memory_bytes,
        archive=archive,
        architecture=(
            NamedArchitecture.model_validate(model.architecture) if archive is None else None
        ),
    )
