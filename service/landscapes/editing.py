"""HTTP of what may change of a landscape: its tags and its note, with their history."""

from __future__ import annotations

from fastapi import APIRouter

from service.domain.ids import LandscapeId
from service.http.dependencies import Principal, Transaction
from service.http.documentation import problems
from service.inputs import lookup
from service.inputs.editing import EditIn, HistoryOut, shown_history
from service.landscapes.routes import shown
from service.landscapes.schemas import LandscapeOut
from service.ledger import edits

router = APIRouter(tags=["landscapes"])


@router.patch(
    "/v1/landscapes/{landscape_id}",
    summary="Change tags or the note",
    responses=problems("invalid_request", "not_found", "forbidden"),
)
def edit_landscape(
    landscape_id: LandscapeId, body: EditIn, session: Transaction, caller: Principal
) -> LandscapeOut:
    """Nothing else of a landscape ever changes: its data, its measures and its provenance are what
    they were, under the same entity tags. Who changed what is kept.
    """
    landscape = lookup.landscape(session, caller, landscape_id)
    lookup.may_submit(caller, landscape.project)
    edits.apply(session, "landscape", landscape_id, body.edit(), by=caller.key.id)
    return shown(lookup.landscape(session, caller, landscape_id))


@router.get(
    "/v1/landscapes/{landscape_id}/history",
    summary="What was changed, when and by whom",
    responses=problems("invalid_request", "not_found"),
)
def landscape_history(
    landscape_id: LandscapeId, session: Transaction, caller: Principal
) -> HistoryOut:
    """Changes of tags and the note, newest first."""
    lookup.landscape(session, caller, landscape_id)
    return shown_history(edits.of_entity(session, landscape_id))
