"""HTTP of aliases."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response, status

from service.aliases import moving
from service.aliases.schemas import AliasOut, AliasPage, MoveOut, MovePage, NewTarget
from service.domain.ids import AliasName, ProjectName
from service.http.dependencies import Principal, Transaction
from service.http.documentation import problems
from service.http.paging import Cursor, Limit, link_next
from service.ledger import aliases
from service.ledger.records import AliasRecord

router = APIRouter(tags=["aliases"])

IfMatch = Annotated[
    str | None,
    Header(description="The `ETag` that it must have still; `*`: there must be one."),
]
IfNoneMatch = Annotated[str | None, Header(description="`*`: there must be none yet.")]


@router.put(
    "/v1/aliases/{project}/{name}",
    summary="Make or move an alias",
    responses={
        201: {"model": AliasOut, "description": "There was none before."},
        **problems("invalid_request", "forbidden", "incompatible_inputs", "precondition_failed"),
    },
)
def move_aliases(
    project: ProjectName,
    name: AliasName,
    body: NewTarget,
    request: Request,
    response: Response,
    session: Transaction,
    caller: Principal,
    if_match: IfMatch = None,
    if_none_match: IfNoneMatch = None,
) -> AliasOut:
    """Needs a key that may submit and was made with `can_promote`, or an administrator's. The move
    is on record: who, when, from what, to what. Asked for again it changes nothing.
    """
    moved = moving.move(
        session,
        caller,
        request.headers,
        project=project,
        name=name,
        target=body.target,
        note=body.note,
    )
    if moved.created:
        response.status_code = status.HTTP_201_CREATED
    return _shown(moved.alias, response)


@router.get("/v1/aliases", summary="List aliases", responses=problems("invalid_request"))
def list_aliases(
    request: Request,
    response: Response,
    session: Transaction,
    caller: Principal,
    project: Annotated[ProjectName | None, Query()] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> AliasPage:
    """Of the projects that the key may read, by project and name."""
    page = aliases.list(
        session, projects=caller.projects, project=project, cursor=cursor, limit=limit
    )
    link_next(request, response, page.next_cursor)
    return AliasPage(items=[shown(alias) for alias in page.items], next_cursor=page.next_cursor)


@router.get(
    "/v1/aliases/{project}/{name}",
    summary="One alias",
    responses=problems("invalid_request", "not_found"),
)
def get(
    project: ProjectName,
    name: AliasName,
    response: Response,
    session: Transaction,
    caller: Principal,
) -> AliasOut:
    """What it names now; its `ETag` serves to move it only if nobody else has."""
    return _shown(moving.get(session, caller, project, name), response)


@router.get(
    "/v1/aliases/{project}/{name}/history",
    summary="An alias's moves",
    responses=problems("invalid_request", "not_found"),
)
def history(
    project: ProjectName,
    name: AliasName,
    request: Request,
    response: Response,
    session: Transaction,
    caller: Principal,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> MovePage:
    """Newest first: who, when, from what, to what. A removed alias keeps its history."""
    page = moving.history(session, caller, project, name, cursor, limit)
    link_next(request, response, page.next_cursor)
    return MovePage(
        items=[
            MoveOut(
                revision=move.revision,
                from_target=move.from_target,
                to_target=move.to_target,
                note=move.note,
                at=move.at,
                by=move.key_id,
            )
            for move in page.items
        ],
        next_cursor=page.next_cursor,
    )


@router.delete(
    "/v1/aliases/{project}/{name}",
    summary="Remove an alias",
    responses=problems("invalid_request", "not_found", "forbidden", "precondition_failed"),
)
def remove(
    project: ProjectName,
    name: AliasName,
    request: Request,
    session: Transaction,
    caller: Principal,
    if_match: IfMatch = None,
) -> AliasOut:
    """Needs the right to move it. Answers with what it was; the history stays."""
    return shown(moving.remove(session, caller, request.headers, project, name))


def shown(alias: AliasRecord) -> AliasOut:
    """An alias as the wire shows it."""
    here = f"/v1/aliases/{alias.project}/{alias.name}"
    kind = {"mdl": "models", "ckp": "checkpoints", "lsc": "landscapes"}[alias.target[:3]]
    return AliasOut(
        project=alias.project,
        name=alias.name,
        alias=f"{alias.project}/{alias.name}",
        target=alias.target,
        revision=alias.revision,
        note=alias.note,
        moved_at=alias.moved_at,
        moved_by=alias.moved_by,
        links={
            "self": here,
            "history": f"{here}/history",
            "target": f"/v1/{kind}/{alias.target}",
        },
    )


def _shown(alias: AliasRecord, response: Response) -> AliasOut:
    response.headers["ETag"] = f'"{moving.tag_of(alias)}"'
    return shown(alias)
