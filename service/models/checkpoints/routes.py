"""HTTP of checkpoints."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response, status

from service.domain.ids import CheckpointId, ModelId
from service.http.dependencies import Principal, ServicesOf, Transaction
from service.http.documentation import problems
from service.http.paging import Cursor, Limit, link_next
from service.inputs import lookup
from service.ledger import checkpoints
from service.ledger.records import CheckpointRecord
from service.models.checkpoints import registration
from service.models.checkpoints.schemas import CheckpointOut, CheckpointPage, NewCheckpoint

router = APIRouter(tags=["checkpoints"])


@router.post(
    "/v1/models/{model_id}/checkpoints",
    status_code=status.HTTP_201_CREATED,
    summary="Register weights of a network",
    responses=problems(
        "invalid_request",
        "not_found",
        "forbidden",
        "object_missing",
        "object_invalid",
        "weights_invalid",
        "model_refused",
        "model_not_ready",
    ),
)
def register(
    model_id: ModelId,
    body: NewCheckpoint,
    response: Response,
    services: ServicesOf,
    caller: Principal,
) -> CheckpointOut:
    """The file must hold every parameter and buffer of the program, in its shape; any floating type
    will do, and `num_batches_tracked` may be missing. Tensors that are missing, unknown, of another
    shape, or not finite are named one by one.

    A model's checkpoints in the order of their registration are its trajectory.
    """
    checkpoint = registration.register(services, caller, model_id, body)
    response.headers["Location"] = f"/v1/checkpoints/{checkpoint.id}"
    return shown(checkpoint)


@router.get(
    "/v1/models/{model_id}/checkpoints",
    summary="A network's checkpoints",
    responses=problems("invalid_request", "not_found"),
)
def list_checkpoints(
    model_id: ModelId,
    request: Request,
    response: Response,
    session: Transaction,
    caller: Principal,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> CheckpointPage:
    """In the order of registration: the trajectory."""
    model = lookup.model(session, caller, model_id)
    page = checkpoints.list(session, model.id, cursor=cursor, limit=limit)
    link_next(request, response, page.next_cursor)
    return CheckpointPage(items=[shown(c) for c in page.items], next_cursor=page.next_cursor)


@router.get(
    "/v1/checkpoints/{checkpoint_id}",
    summary="One checkpoint",
    responses=problems("invalid_request", "not_found"),
)
def get(checkpoint_id: CheckpointId, session: Transaction, caller: Principal) -> CheckpointOut:
    """Where its weights are, and what the training said about them."""
    return shown(lookup.checkpoint(session, caller, checkpoint_id)[0])


def shown(checkpoint: CheckpointRecord) -> CheckpointOut:
    """A checkpoint as the wire shows it."""
    return CheckpointOut(
        id=checkpoint.id,
        model=checkpoint.model_id,
        seq=checkpoint.seq,
        weights=checkpoint.weights,
        step=checkpoint.step,
        epoch=checkpoint.epoch,
        label=checkpoint.label,
        metrics=checkpoint.metrics,
        learning_rate=checkpoint.learning_rate,
        created_at=checkpoint.created_at,
        created_by=checkpoint.created_by,
        links={
            "self": f"/v1/checkpoints/{checkpoint.id}",
            "model": f"/v1/models/{checkpoint.model_id}",
            "weights": f"/v1/objects/{checkpoint.weights}",
        },
    )
