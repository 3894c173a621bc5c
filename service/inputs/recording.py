"""Directions put on record: judged against the model first, then found or made.

Shared by the feature that saves directions and by jobs that give them inline. The judging reads
the store and no row is written meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from service.domain.directions import (
    BetweenDirection,
    EigenvectorDirection,
    GradientDirection,
    UploadedDirection,
)
from service.domain.losses import LossName
from service.domain.problems import FieldError, Problem
from service.inputs.columns import Column, input_faults, target_faults
from service.inputs.directions import AxisName, Spec, match_uploaded, spec_digest, spec_json
from service.inputs.files import all_finite, open_tensors
from service.inputs.finding import Found
from service.inputs.fit import FLOATING, Misfit, misfits, refuse
from service.inputs.lookup import Caller
from service.inputs.signatures import Sockets, sockets_of
from service.ledger import directions
from service.ledger.records import (
    CheckpointRecord,
    DatasetRecord,
    DirectionRecord,
    ModelRecord,
)
from service.ledger.session import Session
from service.store.objects import ObjectStore


@dataclass(frozen=True)
class Origin:
    """Where a direction starts: a checkpoint, its model, and what the model takes."""

    checkpoint: CheckpointRecord
    model: ModelRecord
    sockets: Sockets


@dataclass(frozen=True)
class Needs:
    """What a spec refers to, looked up: the uploaded object's size, the far end's weights, or the
    data set that it is taken over.

    The size of an object that a worker made is the store's to tell: None here.
    """

    object_size: int | None = None
    target: CheckpointRecord | None = None
    dataset: DatasetRecord | None = None


def needs_of(found: Found, origin: Origin, spec: Spec, at: str) -> Needs:
    """What a spec needs of what was found, held against the origin.

    Args:
        at: pointer of the spec in the body; "" when it is the body.

    Raises:
        Problem: `invalid_request` for a data set that is not named, `direction_invalid`,
            `incompatible_inputs` for the checkpoint of another project or another network.
    """
    if isinstance(spec, UploadedDirection):
        return Needs(object_size=found.objects[spec.object].size)
    if isinstance(spec, BetweenDirection):
        target = found.checkpoints[spec.target]
        require_far_end(origin, target, found.model_of(target), f"{at}/target")
        return Needs(target=target)
    if isinstance(spec, GradientDirection | EigenvectorDirection):
        if spec.dataset is None:
            raise Problem(
                "invalid_request",
                f"a {spec.kind} is taken over a data set: name one",
                pointer=f"{at}/dataset",
            )
        dataset = found.datasets[spec.dataset]
        require_evaluable(origin, dataset, f"{at}/dataset")
        return Needs(dataset=dataset)
    return Needs()


def require_evaluable(origin: Origin, dataset: DatasetRecord, at: str) -> None:
    """Holds a data set against the origin's network, which is to be evaluated on it.

    Raises:
        Problem: `incompatible_inputs` or `targets_invalid` naming what differs.
    """
    model = origin.model
    if dataset.project != model.project:
        raise Problem(
            "incompatible_inputs",
            f"{dataset.id} is in project {dataset.project!r}, the origin in {model.project!r}; "
            "register the data in that project too",
            pointer=at,
        )
    columns = {name: _column(body) for name, body in dataset.inputs.items()}
    faults = input_faults(origin.sockets.inputs, columns)
    if faults:
        raise Problem(
            "incompatible_inputs",
            f"data set {dataset.name!r} does not fit model {model.name!r}: {'; '.join(faults)}",
            errors=[FieldError(at, fault) for fault in faults],
        )
    faults = target_faults(LossName(model.loss), origin.sockets.output, _column(dataset.targets))
    if faults:
        raise Problem(
            "targets_invalid",
            f"the targets of {dataset.name!r} do not fit {model.loss}: {'; '.join(faults)}",
            errors=[FieldError(at, fault) for fault in faults],
        )


def _column(body: Mapping[str, object]) -> Column:
    low, high = body.get("min"), body.get("max")
    shape, dtype = body["shape"], str(body["dtype"])
    return Column(
        dtype=dtype,
        shape=tuple(shape) if isinstance(shape, list | tuple) else (),
        low=low if isinstance(low, int) else None,
        high=high if isinstance(high, int) else None,
        # bounds are recorded of whole numbers wherever another value than the ignored one is there
        ignored="min" not in body and dtype not in FLOATING and dtype != "bool",
    )


def require_far_end(
    origin: Origin, target: CheckpointRecord, model: ModelRecord, pointer: str
) -> None:
    """Holds the other end of a line against the origin, whose tensors it must have.

    Raises:
        Problem: `direction_invalid` for the origin itself, `incompatible_inputs` for another
            project or another network.
    """
    if target.id == origin.checkpoint.id:
        raise Problem(
            "direction_invalid",
            "the target is the origin itself, so the direction is zero; name another checkpoint",
            pointer=pointer,
        )
    if model.project != origin.model.project:
        raise Problem(
            "incompatible_inputs",
            f"{target.id} is in project {model.project!r}, the origin in "
            f"{origin.model.project!r}; a job stays in one project",
            pointer=pointer,
        )
    if model.id != origin.model.id:
        require_same_tensors(origin.sockets, model, pointer)


def require_same_tensors(sockets: Sockets, model: ModelRecord, pointer: str) -> None:
    """Raises Problem `incompatible_inputs` unless the other model has these very tensors."""
    other = sockets_of(model)
    found = misfits(sockets.parameters, other.parameters) + misfits(sockets.buffers, other.buffers)
    if found:
        raise refuse(
            "incompatible_inputs",
            pointer,
            f"Model {model.id} ({model.name}) has other tensors than the origin's",
            found,
            fix="Both ends must be checkpoints of the same network.",
        )


def judge(
    store: ObjectStore, origin: Origin, spec: Spec, needs: Needs, *, at: str, axis: AxisName | None
) -> Spec:
    """The spec as it will be recorded, an uploaded object's prefix settled.

    Raises:
        Problem: `object_invalid`, `direction_invalid` naming the tensors.
    """
    if not isinstance(spec, UploadedDirection):
        return spec
    pointer = f"{at}/object"
    size = needs.object_size if needs.object_size is not None else store.size(spec.object)
    file = open_tensors(store, spec.object, size, pointer=pointer)
    matched = match_uploaded(
        origin.sockets.parameters, origin.sockets.buffers, file.declared, spec.prefix, axis
    )
    if matched.faults:
        raise refuse(
            "direction_invalid",
            pointer,
            "The direction does not fit the model",
            matched.faults,
            fix=matched.hint or "Name each tensor as the parameter it moves, in its shape.",
        )
    used = [t for name, t in file.tensors.items() if name.startswith(matched.prefix)]
    spoilt = [
        Misfit(t.name, "value", f"{t.name!r} holds values that are not finite (NaN or infinity)")
        for t in used
        if not all_finite(store, spec.object, t)
    ]
    if spoilt:
        raise refuse(
            "direction_invalid",
            pointer,
            "The direction is not all numbers",
            spoilt,
            fix="Replace them, by zero for what should not move.",
        )
    return spec.model_copy(update={"prefix": matched.prefix})


def record(session: Session, caller: Caller, origin: Origin, spec: Spec) -> DirectionRecord:
    """The direction of this spec at this checkpoint: found, or made."""
    return directions.create(
        session,
        project=origin.model.project,
        model_id=origin.model.id,
        checkpoint_id=origin.checkpoint.id,
        spec=spec_json(spec),
        spec_digest=spec_digest(spec),
        created_by=caller.key.id,
    )
