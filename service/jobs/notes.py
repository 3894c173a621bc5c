"""What a caller should know of a question before its answer: running statistics between networks.

Owns the wording. Reads the ledger for models and directions; refuses nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from service.ledger import directions, models
from service.ledger.records import JobRecord, ModelRecord
from service.ledger.session import Session

_MOVES: Final = (
    "The model has running statistics and this question moves between networks: with buffers "
    "`frozen` every point has the origin's, which fit other networks badly. "
)
_OWN: Final = {
    "interpolation": "Both ends are evaluated with their own as well. ",
    "trajectory": "The true losses of checkpoints are with their own. ",
    "curvature": "",
}
_NETWORKS: Final = "Networks on it are evaluated with their own as well. "
_RECALIBRATE: Final = "buffers `recalibrate` recomputes them at each point."
_INTERPOLATE: Final = (
    "They cannot be recomputed here; buffers `interpolate` moves them with the weights."
)


def notes_of(session: Session, found: Sequence[JobRecord]) -> dict[str, list[str]]:
    """Notes by job, none for most."""
    moving = [job for job in found if job.spec.get("buffers") == "frozen" and job.kind in _KINDS]
    ids = {i for job in moving if job.kind not in _ALWAYS for i in job.directions.values()}
    known = directions.for_ids(session, ids) if ids else {}
    towards = {i for i, direction in known.items() if direction.spec.get("kind") == "between"}
    moving = [
        job
        for job in moving
        if job.kind in _ALWAYS or any(i in towards for i in _placing(job).values())
    ]
    wanted = {job.model_id for job in moving}
    of = {i: model for i in wanted if (model := models.get(session, i)) is not None}
    return {
        job.id: [_sentence(job, of[job.model_id])]
        for job in moving
        if job.model_id in of and _has_statistics(of[job.model_id])
    }


_ALWAYS: Final = frozenset({"interpolation", "trajectory"})
_KINDS: Final = _ALWAYS | {"surface", "line", "curvature"}


def _placing(job: JobRecord) -> dict[str, str]:
    """Directions that cells lie along; those that curvature is only taken along are not."""
    return {a: i for a, i in job.directions.items() if not a.startswith("along")}


def _has_statistics(model: ModelRecord) -> bool:
    buffers: Sequence[Mapping[str, Any]] = (model.signature or {}).get("buffers", ())
    names = (str(buffer.get("name")) for buffer in buffers)
    return any(name.rpartition(".")[2] in ("running_mean", "running_var") for name in names)


def _sentence(job: JobRecord, model: ModelRecord) -> str:
    own = _OWN.get(job.kind, _NETWORKS)
    if job.kind == "trajectory" and not job.spec.get("true_loss", True):
        own = ""
    can = job.kind != "curvature" and (model.signature or {}).get("recalibratable", False)
    return _MOVES + own + (_RECALIBRATE if can else _INTERPOLATE)
