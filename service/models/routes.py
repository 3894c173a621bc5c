"""HTTP of models; checkpoints hang below them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response, status

from service.domain.ids import DisplayName, ModelId, ProjectName, Tag
from service.domain.losses import LossOptions
from service.domain.states import ModelState
from service.http.dependencies import Principal, ServicesOf, Transaction
from service.http.documentation import problems
from service.http.paging import Cursor, Limit, link_next
from service.inputs import lookup
from service.ledger import models
from service.ledger.records import ModelRecord
from service.models import registration
from service.models.checkpoints.routes import router as checkpoints_router
from service.models.schemas import ModelOut, ModelPage, NewModel, SignatureOut

router = APIRouter(tags=["models"])
router.include_router(checkpoints_router)


@router.post(
    "/v1/models",
    status_code=status.HTTP_201_CREATED,
    summary="Register a network",
    responses=problems(
        "invalid_request", "forbidden", "object_missing", "program_refused", "architecture_unknown"
    ),
)
def register(
    body: NewModel, response: Response, services: ServicesOf, caller: Principal
) -> ModelOut:
    """Checks the program's structure at once and answers `201` with state `checked`; a worker then
    binds and probes it, and the state becomes `ready` or `refused`. Jobs may be submitted
    meanwhile: they wait for that.

    The program is a standard `torch.export` archive, read by our own reader: nothing in it is
    executed. A refusal names the rule (`reason`) and the place in the archive.
    """
    model = registration.register(services, caller, body)
    response.headers["Location"] = f"/v1/models/{model.id}"
    return shown(model)


@router.get("/v1/models", summary="List networks", responses=problems("invalid_request"))
def list_models(
    request: Request,
    response: Response,
    session: Transaction,
    caller: Principal,
    project: Annotated[ProjectName | None, Query()] = None,
    name: Annotated[DisplayName | None, Query(description="Exactly this name.")] = None,
    tag: Annotated[Tag | None, Query(description="Carrying this tag.")] = None,
    state: Annotated[ModelState | None, Query()] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> ModelPage:
    """Networks of the projects that the key may read, newest first."""
    page = models.list(
        session,
        projects=caller.projects,
        project=project,
        name=name,
        tag=tag,
        state=state,
        cursor=cursor,
        limit=limit,
    )
    link_next(request, response, page.next_cursor)
    return ModelPage(items=[shown(m) for m in page.items], next_cursor=page.next_cursor)


@router.get(
    "/v1/models/{model_id}",
    summary="One network",
    responses=problems("invalid_request", "not_found"),
)
def get(model_id: ModelId, session: Transaction, caller: Principal) -> ModelOut:
    """State, signature, and the problem when a worker refused it."""
    return shown(lookup.model(session, caller, model_id))


def shown(model: ModelRecord) -> ModelOut:
    """A model as the wire shows it."""
    here = f"/v1/models/{model.id}"
    return ModelOut(
        id=model.id,
        project=model.project,
        name=model.name,
        program=model.program,
        architecture=model.architecture,
        loss=model.loss,
        loss_options=LossOptions.model_validate(model.loss_options),
        tags=sorted(model.tags),
        note=model.note,
        metadata=model.metadata,
        state=model.state,
        problem=model.problem,
        signature=None if model.signature is None else SignatureOut.model_validate(model.signature),
        created_at=model.created_at,
        created_by=model.created_by,
        links={
            "self": here,
            "checkpoints": f"{here}/checkpoints",
            "jobs": f"/v1/jobs?model={model.id}",
            "landscapes": f"/v1/landscapes?model={model.id}",
            "history": f"{here}/history",
        },
    )
