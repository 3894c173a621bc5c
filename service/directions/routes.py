"""HTTP of directions."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Query, Request, Response, status
from fastapi.responses import StreamingResponse

from service.directions import saving
from service.directions.schemas import EXAMPLES, NEW_DIRECTION, DirectionOut, DirectionPage
from service.domain.ids import CheckpointId, DirectionId, ModelId, ProjectName
from service.http.dependencies import Principal, ServicesOf, Transaction
from service.http.documentation import problems
from service.http.paging import Cursor, Limit, link_next
from service.inputs import lookup
from service.inputs.bodies import Exact
from service.ledger import directions
from service.ledger.records import DirectionRecord

router = APIRouter(tags=["directions"])


@router.post(
    "/v1/directions",
    status_code=status.HTTP_201_CREATED,
    summary="Save a direction",
    responses={
        200: {"description": "The same direction at the same checkpoint was there already."},
        **problems(
            "invalid_request",
            "forbidden",
            "object_missing",
            "object_invalid",
            "direction_invalid",
            "incompatible_inputs",
            "targets_invalid",
        ),
    },
)
def save(
    body: Annotated[Any, Exact(NEW_DIRECTION), Body(openapi_examples=EXAMPLES)],
    response: Response,
    services: ServicesOf,
    caller: Principal,
) -> DirectionOut:
    """Records a direction at a checkpoint, so that several jobs can look along the same one. Jobs
    may give directions inline; they are recorded all the same.

    A random direction's numbers depend on its seed, on `axis` (x unless said otherwise) and on each
    parameter's name and shape. An uploaded object needs every parameter, as `<prefix><parameter>`.
    A gradient or an eigenvector is computed by the first job that uses it, which must have its
    data set among its own. Principal components are recorded by trajectory jobs.
    """
    direction = saving.save(services, caller, body)
    response.headers["Location"] = f"/v1/directions/{direction.id}"
    return shown(direction)


@router.get("/v1/directions", summary="List directions", responses=problems("invalid_request"))
def list_directions(
    request: Request,
    response: Response,
    session: Transaction,
    caller: Principal,
    project: Annotated[ProjectName | None, Query()] = None,
    model: Annotated[ModelId | None, Query()] = None,
    checkpoint: Annotated[CheckpointId | None, Query()] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> DirectionPage:
    """Directions of the projects that the key may read, newest first."""
    page = directions.list(
        session,
        projects=caller.projects,
        project=project,
        model_id=model,
        checkpoint_id=checkpoint,
        cursor=cursor,
        limit=limit,
    )
    link_next(request, response, page.next_cursor)
    return DirectionPage(items=[shown(d) for d in page.items], next_cursor=page.next_cursor)


@router.get(
    "/v1/directions/{direction_id}",
    summary="One direction",
    responses=problems("invalid_request", "not_found"),
)
def get(direction_id: DirectionId, session: Transaction, caller: Principal) -> DirectionOut:
    """Its spec as resolved, and whether its tensors exist yet."""
    return shown(lookup.direction(session, caller, direction_id))


@router.get(
    "/v1/directions/{direction_id}/tensors",
    summary="A direction's tensors",
    response_class=Response,
    responses={
        200: {
            "description": "safetensors, float32, named as the parameters; parts that move running "
            "statistics are named `buffer:<name>`.",
            "content": {"application/vnd.safetensors": {}},
        },
        **problems("invalid_request", "not_found", "conflict"),
    },
)
def tensors(
    direction_id: DirectionId, services: ServicesOf, caller: Principal
) -> StreamingResponse:
    """The very tensors that jobs use, normalisation included. They exist once a job that uses the
    direction has been prepared; before that the answer is `409`, worth trying again.
    """
    with services.database.transaction() as session:
        direction = lookup.direction(session, caller, direction_id)
    digest = saving.tensors_of(direction)
    size = services.store.size(digest)
    return StreamingResponse(
        services.store.open_range(digest, 0, size),
        media_type="application/vnd.safetensors",
        headers={
            "Content-Length": str(size),
            "ETag": f'"{digest}"',
            "Cache-Control": "private, max-age=31536000, immutable",
            "Content-Disposition": f'attachment; filename="{direction.id}.safetensors"',
        },
    )


def shown(direction: DirectionRecord) -> DirectionOut:
    """A direction as the wire shows it."""
    here = f"/v1/directions/{direction.id}"
    return DirectionOut(
        id=direction.id,
        project=direction.project,
        model=direction.model_id,
        checkpoint=direction.checkpoint_id,
        spec=direction.spec,
        materialised=direction.object is not None,
        norm=direction.norm,
        created_at=direction.created_at,
        created_by=direction.created_by,
        links={
            "self": here,
            "tensors": f"{here}/tensors",
            "checkpoint": f"/v1/checkpoints/{direction.checkpoint_id}",
            "model": f"/v1/models/{direction.model_id}",
        },
    )
