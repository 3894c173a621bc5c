"""What a caller should know of a question before its answer: running statistics between networks.

Owns the wording. Reads the ledger for models and directions; refuses nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from service.domain.questions.question import Question
from service.domain.questions.table import question_named
from service.ledger import directions, models
from service.ledger.records import JobRecord, ModelRecord
from service.ledger.session import Session

_MOVES: Final = (
    "The model has running statistics and this question moves between networks: with buffers "
    "`frozen` every point has the origin's, which fit other networks badly. "
)
_RECALIBRATE: Final = "buffers `recalibrate` recomputes them at each point."
_INTERPOLATE: Final = (
    "They cannot be recomputed here; buffers `interpolate` moves them with the weights."
)


def notes_of(session: Session, found: Sequence[JobRecord]) -> dict[str, list[str]]:
    """Notes by job, none for most."""
    asked = [
        (job, question)
        for job in found
        if job.spec.get("buffers") == "frozen"
        and (question := question_named(job.kind)) is not None
    ]
    ids = {i for job, question in asked for i in _placing(job, question)}
    known = directions.for_ids(session, ids) if ids else {}
    towards = {i for i, direction in known.items() if direction.spec.get("kind") == "between"}
    moving = [
        (job, question)
        for job, question in asked
        if question.between_networks or not towards.isdisjoint(_placing(job, question))
    ]
    wanted = {job.model_id for job, _ in moving}
    of = {i: model for i in wanted if (model := models.get(session, i)) is not None}
    return {
        job.id: [_sentence(job, question, of[job.model_id])]
        for job, question in moving
        if job.model_id in of and _has_statistics(of[job.model_id])
    }


def _placing(job: JobRecord, question: Question[Any]) -> list[str]:
    """Directions that points lie along, where that alone tells whether networks are between."""
    if question.between_networks:
        return []
    return [i for axis, i in job.directions.items() if question.lies_along(axis)]


def _has_statistics(model: ModelRecord) -> bool:
    buffers: Sequence[Mapping[str, Any]] = (model.signature or {}).get("buffers", ())
    names = (str(buffer.get("name")) for buffer in buffers)
    return any(name.rpartition(".")[2] in ("running_mean", "running_var") for name in names)


def _sentence(job: JobRecord, question: Question[Any], model: ModelRecord) -> str:
    own = question.own_statistics(job.spec)
    can = question.recalibratable and (model.signature or {}).get("recalibratable", False)
    return _MOVES + (f"{own} " if own else "") + (_RECALIBRATE if can else _INTERPOLATE)
