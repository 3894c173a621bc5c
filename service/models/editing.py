"""HTTP of what may change of a model: its tags and its note, with their history."""

from __future__ import annotations

from fastapi import APIRouter

from service.domain.ids import ModelId
from service.http.dependencies import Principal, Transaction
from service.http.documentation import problems
from service.inputs import lookup
from service.inputs.editing import EditIn, HistoryOut, shown_history
from service.ledger import edits
from service.models.routes import shown
from service.models.schemas import ModelOut

router = APIRouter(tags=["models"])


@router.patch(
    "/v1/models/{model_id}",
    summary="Change tags or the note",
    responses=problems("invalid_request", "not_found", "forbidden"),
)
def edit_model(
    model_id: ModelId, body: EditIn, session: Transaction, caller: Principal
) -> ModelOut:
    """Its program, loss and metadata are what they were registered as. Who changed what is kept."""
    model = lookup.model(session, caller, model_id)
    lookup.may_submit(caller, model.project)
    edits.apply(session, "model", model_id, body.edit(), by=caller.key.id)
    return shown(lookup.model(session, caller, model_id))


@router.get(
    "/v1/models/{model_id}/history",
    summary="What was changed, when and by whom",
    responses=problems("invalid_request", "not_found"),
)
def model_history(model_id: ModelId, session: Transaction, caller: Principal) -> HistoryOut:
    """Changes of tags and the note, newest first."""
    lookup.model(session, caller, model_id)
    return shown_history(edits.of_entity(session, model_id))
