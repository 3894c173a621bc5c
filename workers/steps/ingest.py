"""`ingest`: a model's program bound and probed once, and its canonical form stored.

Owns the verdict's way into the ledger: ready with a signature, or refused with a problem.
"""

from __future__ import annotations

from typing import Any

from service.ledger import units
from workers.childprocess import ChildDied
from workers.protocol import Frame
from workers.runner import UnitFailed
from workers.steps.opening import fetched
from workers.tools import InHand


def carry_out(hand: InHand) -> None:
    """Raises UnitFailed only for failures that another attempt may not have."""
    assignment, tools = hand.assignment, hand.tools
    unit = assignment.unit
    try:
        answer = tools.runner.request(
            assignment.job.id, Frame("ingest", _request(hand)), hand.asking()
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
    signature = answer.body.get("signature")
    if not isinstance(signature, dict) or len(answer.blobs) > 2:
        raise ChildDied("the child's answer holds no signature")
    types = ("application/json", "application/vnd.safetensors")
    stored = [
        hand.store_bytes(data, content_type)
        for data, content_type in zip(answer.blobs, types, strict=False)
    ]
    graph, constants = (*stored, None, None)[:2]

    def report() -> None:
        with tools.database.transaction() as session:
            units.report_ingested(
                session,
                unit.id,
                unit.attempt,
                signature=signature,
                graph=graph,
                constants=constants,
                sizes=dict(zip(stored, map(len, answer.blobs), strict=True)),
            )

    hand.persist(report, "reporting a model")


def _request(hand: InHand) -> dict[str, Any]:
    model = hand.assignment.model
    body: dict[str, Any] = {
        "loss": model.loss,
        "loss_options": dict(model.loss_options),
        "device": hand.tools.options.device,
    }
    if model.program is not None:
        return {**body, "archive": str(fetched(hand, model.program))}
    return {**body, "architecture": dict(model.architecture or {})}
