"""HTTP of shares: links made, listed and ended by keys, and opened by anybody who has one."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Path, Query, Request, Response, status

from service.domain.ids import LandscapeId, ProjectName, ShareId
from service.http.dependencies import Principal, ServicesOf, Submitter, Transaction
from service.http.documentation import problems
from service.http.paging import Cursor, Limit, link_next
from service.landscapes.sharing import links
from service.landscapes.sharing.schemas import MadeShare, NewShare, ShareOut, SharePage
from service.ledger import shares
from service.ledger.records import ShareRecord

router = APIRouter(tags=["shares"])

#: Nobody keeps it, finds it by a search, or learns of its address from where it leads.
_HEADERS: Final = {
    "Cache-Control": "private, no-store",
    "Referrer-Policy": "no-referrer",
    # it may stand in a wiki's page
    "Cross-Origin-Resource-Policy": "cross-origin",
    "X-Robots-Tag": "noindex, nofollow, noarchive",
    "Content-Disposition": 'inline; filename="landscape.png"',
}


@router.post(
    "/v1/landscapes/{landscape_id}/shares",
    status_code=status.HTTP_201_CREATED,
    summary="Make a link to a figure",
    responses=problems("invalid_request", "forbidden", "not_found", "not_supported", "sharing_off"),
)
def share(
    landscape_id: LandscapeId,
    body: NewShare,
    response: Response,
    services: ServicesOf,
    caller: Submitter,
) -> MadeShare:
    """Whoever has the link sees this one PNG and nothing else, without a key, until it expires.
    Off until an administrator turns it on for the project. The link is in this answer and nowhere
    else: only its hash is kept.
    """
    made, url = links.share(services, caller, landscape_id, body.figure, body.expires_in)
    response.headers["Location"] = f"/v1/shares/{made.id}"
    return MadeShare(**shown(made).model_dump(), url=url)


@router.get("/v1/shares", summary="List links", responses=problems("invalid_request"))
def list_shares(
    request: Request,
    response: Response,
    session: Transaction,
    caller: Principal,
    project: Annotated[ProjectName | None, Query()] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> SharePage:
    """Those of the projects that the key may read, without their secrets, newest first, dead ones
    included.
    """
    page = shares.list(
        session, projects=caller.projects, project=project, cursor=cursor, limit=limit
    )
    link_next(request, response, page.next_cursor)
    return SharePage(items=[shown(one) for one in page.items], next_cursor=page.next_cursor)


@router.get(
    "/v1/shares/{share_id}",
    summary="One link",
    responses=problems("invalid_request", "not_found"),
)
def get(share_id: ShareId, session: Transaction, caller: Principal) -> ShareOut:
    """Without its secret."""
    return shown(links.get(session, caller, share_id))


@router.delete(
    "/v1/shares/{share_id}",
    summary="End a link",
    responses=problems("invalid_request", "forbidden", "not_found"),
)
def revoke(share_id: ShareId, session: Transaction, caller: Submitter) -> ShareOut:
    """At once and for good. Doing it again changes nothing."""
    return shown(links.revoke(session, caller, share_id))


@router.get(
    "/s/{token}",
    summary="A shared figure",
    response_class=Response,
    responses={
        200: {"description": "The figure, kept nowhere.", "content": {"image/png": {}}},
        **problems("not_found", "invalid_request", "rate_limited", "unavailable"),
    },
)
def shared(
    token: Annotated[str, Path(max_length=100, description="The secret of the link.")],
    services: ServicesOf,
) -> Response:
    """Needs no key: the address is the secret."""
    return Response(links.image(services, token), media_type="image/png", headers=_HEADERS)


def shown(share: ShareRecord) -> ShareOut:
    """A link as the wire shows it."""
    return ShareOut(
        id=share.id,
        landscape=share.landscape_id,
        project=share.project,
        figure=dict(share.options),
        created_at=share.created_at,
        created_by=share.created_by,
        expires_at=share.expires_at,
        revoked_at=share.revoked_at,
        links={
            "self": f"/v1/shares/{share.id}",
            "landscape": f"/v1/landscapes/{share.landscape_id}",
        },
    )
