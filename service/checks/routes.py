"""HTTP of checks."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response, status

from service.checks import verdicts
from service.checks.schemas import BaselineOut, CheckOut, CheckPage, NewCheck, rule_out
from service.domain.gates.judging import Verdict
from service.domain.ids import CheckId, LandscapeId, ProjectName
from service.http.dependencies import Principal, Transaction
from service.http.documentation import problems
from service.http.idempotency import IdempotencyKey
from service.http.paging import Cursor, Limit, link_next
from service.inputs.lookup import absent
from service.ledger import checks
from service.ledger.records import CheckRecord

router = APIRouter(tags=["checks"])


@router.post(
    "/v1/checks",
    status_code=status.HTTP_201_CREATED,
    summary="Hold a landscape against rules",
    responses={
        200: {"model": CheckOut, "description": "The check that this Idempotency-Key made."},
        **problems(
            "invalid_request",
            "forbidden",
            "incompatible_inputs",
            "not_comparable",
            "idempotency_key_reused",
        ),
    },
)
def make(
    body: NewCheck,
    response: Response,
    session: Transaction,
    caller: Principal,
    idempotency_key: IdempotencyKey = None,
) -> CheckOut:
    """Judges derived measures: by absolute limits, or against a baseline that answers the same
    question about another network. A rule is `inconclusive` where its limit lies inside the error,
    and where a value is undefined, NaN or missing: nothing passes that has no number. Landscapes of
    other data, grids, directions, precision or buffers are refused as `not_comparable`, with every
    difference in the member `differences`.
    """
    checked = verdicts.check(session, caller, body, idempotency_key)
    if checked.replayed:
        response.status_code = status.HTTP_200_OK
        response.headers["Idempotent-Replayed"] = "true"
    response.headers["Location"] = f"/v1/checks/{checked.check.id}"
    return shown(checked.check)


@router.get("/v1/checks", summary="List checks", responses=problems("invalid_request"))
def list_checks(
    request: Request,
    response: Response,
    session: Transaction,
    caller: Principal,
    project: Annotated[ProjectName | None, Query()] = None,
    landscape: Annotated[LandscapeId | None, Query(description="The one that was judged.")] = None,
    verdict: Annotated[Verdict | None, Query()] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> CheckPage:
    """Of the projects that the key may read, newest first."""
    page = checks.list(
        session,
        projects=caller.projects,
        project=project,
        landscape=landscape,
        verdict=None if verdict is None else verdict.value,
        cursor=cursor,
        limit=limit,
    )
    link_next(request, response, page.next_cursor)
    return CheckPage(items=[shown(check) for check in page.items], next_cursor=page.next_cursor)


@router.get(
    "/v1/checks/{check_id}",
    summary="One check",
    responses=problems("invalid_request", "not_found"),
)
def get(check_id: CheckId, session: Transaction, caller: Principal) -> CheckOut:
    """The verdict as it was given, with its numbers, their errors and their definitions."""
    found = checks.get(session, check_id)
    if found is None or not caller.can_read(found.project):
        raise absent(check_id, None)
    return shown(found)


def shown(check: CheckRecord) -> CheckOut:
    """A check as the wire shows it."""
    links = {
        "self": f"/v1/checks/{check.id}",
        "landscape": f"/v1/landscapes/{check.landscape_id}",
        "figure": f"/v1/landscapes/{check.landscape_id}/figure.png",
    }
    if check.baseline_id is not None:
        links["baseline"] = f"/v1/landscapes/{check.baseline_id}"
    return CheckOut(
        id=check.id,
        project=check.project,
        landscape=check.landscape_id,
        data=check.data,
        verdict=Verdict(check.verdict),
        baseline=None if check.baseline is None else BaselineOut.model_validate(check.baseline),
        standard_errors=check.standard_errors,
        rules=[rule_out(body) for body in check.rules],
        links=links,
        created_at=check.created_at,
        created_by=check.created_by,
    )
