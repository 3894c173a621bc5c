"""A job's inputs, looked up and judged before anything is written.

Owns which inputs belong together. Reads the ledger and the store, writes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from service.domain.directions import UploadedDirection
from service.domain.jobs import InterpolationJob, SurfaceJob, shape_of
from service.domain.losses import LossName
from service.domain.problems import FieldError, Problem
from service.inputs import lookup, recording
from service.inputs.columns import Column, input_faults, target_faults
from service.inputs.directions import SPEC, AxisName, Spec, with_axis
from service.inputs.lookup import Caller
from service.inputs.recording import Needs, Origin
from service.inputs.signatures import Sockets, sockets_of
from service.ledger import models
from service.ledger.records import (
    CheckpointRecord,
    DatasetRecord,
    DirectionRecord,
    ModelRecord,
)
from service.ledger.session import Session

JobSpec = InterpolationJob | SurfaceJob
_AXES: tuple[AxisName, AxisName] = ("x", "y")


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
    """Everything that a job refers to, found and fitting together."""

    origin: Origin
    target: CheckpointRecord | None
    datasets: tuple[DatasetRecord, ...]
    directions: Mapping[AxisName, Wanted]


def require_size(spec: JobSpec, limit: int) -> None:
    """Raises Problem `grid_too_large`, with the fix, when the grid has more than `limit` cells."""
    cells = 1
    for size in shape_of(spec):
        cells *= size
    if cells > limit:
        raise Problem(
            "grid_too_large",
            f"the grid has {cells} cells; at most {limit} are computed in one job. Lower `num`",
            pointer="/grid" if isinstance(spec, SurfaceJob) else "/alpha",
        )


def look_up(session: Session, caller: Caller, spec: JobSpec) -> Inputs:
    """Finds a job's inputs and holds them against each other.

    Raises:
        Problem: `invalid_request` for what is not there, `forbidden`, `model_refused`,
            `object_missing`, `direction_invalid`, and `incompatible_inputs` or `targets_invalid`
            naming what differs.
    """
    checkpoint, model = lookup.checkpoint(session, caller, spec.origin, "/origin")
    lookup.may_submit(caller, model.project, "/origin")
    origin = Origin(checkpoint, model, sockets_of(model))
    datasets = _datasets(session, caller, spec, origin)
    if isinstance(spec, InterpolationJob):
        target = recording.far_end(session, caller, origin, spec.target, "/target")
        line = SPEC.validate_python({"kind": "between", "target": spec.target})
        wanted = Wanted(line, None, Needs(target=target), "")
        return Inputs(origin, target, datasets, {"x": wanted})
    directions = {axis: _wanted(session, caller, origin, spec, axis) for axis in _AXES}
    return Inputs(origin, None, datasets, directions)


def _wanted(
    session: Session, caller: Caller, origin: Origin, spec: SurfaceJob, axis: AxisName
) -> Wanted:
    at = f"/directions/{axis}"
    choice = getattr(spec.directions, axis)
    if not isinstance(choice, str):
        made = with_axis(choice, axis)
        return Wanted(made, None, recording.look_up(session, caller, origin, made, at), at)
    saved = lookup.direction(session, caller, choice, at)
    if saved.project != origin.model.project:
        raise Problem(
            "incompatible_inputs",
            f"{choice} is in project {saved.project!r}, the origin in {origin.model.project!r}",
            pointer=at,
        )
    own: Spec = SPEC.validate_python(saved.spec)
    if saved.checkpoint_id == origin.checkpoint.id:
        return Wanted(own, saved, recording.look_up(session, caller, origin, own, at), at)
    return _borrowed(session, origin, saved, at)


def _borrowed(session: Session, origin: Origin, saved: DirectionRecord, at: str) -> Wanted:
    """A direction made at another checkpoint: its very tensors, as uploaded ones would be."""
    made_at = models.get(session, saved.model_id)
    if made_at is not None and made_at.id != origin.model.id:
        recording.require_same_tensors(origin.sockets, made_at, at)
    if saved.object is None:
        raise Problem(
            "incompatible_inputs",
            f"{saved.id} was made for {saved.checkpoint_id} and has no tensors yet; use it there "
            "first, or give its spec inline",
            pointer=at,
        )
    return Wanted(UploadedDirection(object=saved.object), None, Needs(), at)


def _datasets(
    session: Session, caller: Caller, spec: JobSpec, origin: Origin
) -> tuple[DatasetRecord, ...]:
    found = []
    for i, identity in enumerate(spec.datasets):
        at = f"/datasets/{i}"
        dataset = lookup.dataset(session, caller, identity, at)
        if dataset.project != origin.model.project:
            raise Problem(
                "incompatible_inputs",
                f"{identity} is in project {dataset.project!r}, the origin in "
                f"{origin.model.project!r}; register the data in that project too",
                pointer=at,
            )
        _require_fit(origin.model, origin.sockets, dataset, at)
        found.append(dataset)
    return tuple(found)


def _require_fit(model: ModelRecord, sockets: Sockets, dataset: DatasetRecord, at: str) -> None:
    columns = {name: _column(body) for name, body in dataset.inputs.items()}
    faults = input_faults(sockets.inputs, columns)
    if faults:
        raise Problem(
            "incompatible_inputs",
            f"data set {dataset.name!r} does not fit model {model.name!r}: {'; '.join(faults)}",
            errors=[FieldError(at, fault) for fault in faults],
        )
    faults = target_faults(LossName(model.loss), sockets.output, _column(dataset.targets))
    if faults:
        raise Problem(
            "targets_invalid",
            f"the targets of {dataset.name!r} do not fit {model.loss}: {'; '.join(faults)}",
            errors=[FieldError(at, fault) for fault in faults],
        )


def _column(body: Mapping[str, object]) -> Column:
    low, high = body.get("min"), body.get("max")
    shape = body["shape"]
    return Column(
        dtype=str(body["dtype"]),
        shape=tuple(shape) if isinstance(shape, list | tuple) else (),
        low=low if isinstance(low, int) else None,
        high=high if isinstance(high, int) else None,
    )
