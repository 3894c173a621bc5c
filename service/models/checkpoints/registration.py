"""Use cases of checkpoints: register weights after comparing them with the program."""

from __future__ import annotations

from service.domain.problems import Problem
from service.http.services import Services
from service.inputs import lookup
from service.inputs.files import all_finite, open_tensors
from service.inputs.fit import Misfit, TensorFile, common_prefix, misfits, refuse, untied
from service.inputs.lookup import Caller
from service.inputs.signatures import Sockets, sockets_of
from service.ledger import checkpoints
from service.ledger.records import CheckpointRecord
from service.models.checkpoints.schemas import NewCheckpoint


def register(
    services: Services, caller: Caller, model_id: str, body: NewCheckpoint
) -> CheckpointRecord:
    """Records weights of a model.

    Names, shapes and types are compared with the program's, and every value is looked at, in
    constant memory and outside any transaction.

    Raises:
        Problem: `not_found`, `forbidden`, `model_not_ready`, `model_refused`, `object_missing`,
            `object_invalid` (no safetensors file), `weights_invalid` naming the tensors.
    """
    with services.database.transaction() as session:
        model = lookup.model(session, caller, model_id)
        lookup.may_submit(caller, model.project)
        sockets = sockets_of(model)
        size = lookup.uploaded(session, caller, body.weights, "/weights").size
    file = open_tensors(services.store, body.weights, size, pointer="/weights")
    _require_fit(sockets, file)
    _require_finite(services, file)
    with services.database.transaction() as session:
        return checkpoints.create(
            session,
            model_id=model.id,
            weights=body.weights,
            step=body.step,
            epoch=body.epoch,
            label=body.label,
            metrics=body.metrics,
            learning_rate=body.learning_rate,
            created_by=caller.key.id,
        )


def _require_fit(sockets: Sockets, file: TensorFile) -> None:
    given = untied(file.declared, sockets.tied)
    found = misfits(sockets.tensors, given)
    if not found:
        return
    prefix = common_prefix(sockets.tensors, given)
    if prefix:
        fix = f"Every name fits without {prefix!r} in front: save the inner module's weights."
    elif not set(file.declared) & set(sockets.tensors):
        fix = "No name is shared: these look like the weights of another model."
    else:
        fix = "Save the state_dict of the very module that was exported."
    raise refuse(
        "weights_invalid", "/weights", "The weights do not fit the program", found, fix=fix
    )


def _require_finite(services: Services, file: TensorFile) -> None:
    spoilt = [
        Misfit(name, "value", f"{name!r} holds values that are not finite (NaN or infinity)")
        for name, tensor in file.tensors.items()
        if not all_finite(services.store, file.digest, tensor)
    ]
    if spoilt:
        problem: Problem = refuse(
            "weights_invalid",
            "/weights",
            "The weights are not all numbers",
            spoilt,
            fix="Send a checkpoint from before training diverged.",
        )
        raise problem
