"""HTTP of API keys."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response, status

from service.domain.ids import KeyId
from service.http.dependencies import Administrator, Principal, Transaction
from service.http.documentation import problems
from service.http.paging import Cursor, Limit, link_next
from service.keys import issuing
from service.keys.schemas import KeyOut, KeyPage, MadeKey, NewKey
from service.ledger import keys
from service.ledger.records import KeyRecord

router = APIRouter(tags=["keys"])


@router.post(
    "/v1/keys",
    status_code=status.HTTP_201_CREATED,
    summary="Make a key",
    responses=problems("invalid_request", "forbidden"),
)
def make(body: NewKey, response: Response, session: Transaction, caller: Administrator) -> MadeKey:
    """The secret is in this answer and nowhere else: only its hash is kept."""
    key, secret = issuing.make(
        session,
        name=body.name,
        role=body.role,
        projects=body.projects,
        expires_at=body.expires_at,
        by=caller.key.id,
        can_promote=body.can_promote,
    )
    response.headers["Location"] = f"/v1/keys/{key.id}"
    return MadeKey(**shown(key).model_dump(), secret=secret)


@router.get("/v1/keys", summary="List keys", responses=problems("invalid_request", "forbidden"))
def list_keys(
    request: Request,
    response: Response,
    session: Transaction,
    _caller: Administrator,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> KeyPage:
    """Every key, newest first, revoked ones included."""
    page = keys.list(session, cursor=cursor, limit=limit)
    link_next(request, response, page.next_cursor)
    return KeyPage(items=[shown(key) for key in page.items], next_cursor=page.next_cursor)


@router.get("/v1/keys/me", summary="Who am I?")
def me(caller: Principal) -> KeyOut:
    """The key that this request came with."""
    return shown(caller.key)


@router.get(
    "/v1/keys/{key_id}",
    summary="One key",
    responses=problems("invalid_request", "forbidden", "not_found"),
)
def get(key_id: KeyId, session: Transaction, _caller: Administrator) -> KeyOut:
    """Without its secret."""
    return shown(issuing.get(session, key_id))


@router.delete(
    "/v1/keys/{key_id}",
    summary="Revoke a key",
    responses=problems("invalid_request", "forbidden", "not_found", "conflict"),
)
def revoke(key_id: KeyId, session: Transaction, caller: Administrator) -> KeyOut:
    """At once and for good. Doing it again changes nothing."""
    return shown(issuing.revoke(session, key_id, caller.key.id))


def shown(key: KeyRecord) -> KeyOut:
    """A key as the wire shows it."""
    return KeyOut(
        id=key.id,
        name=key.name,
        role=key.role,
        projects=None if key.projects is None else sorted(key.projects),
        can_promote=key.can_promote or key.role == "admin",
        created_at=key.created_at,
        created_by=key.created_by,
        expires_at=key.expires_at,
        revoked_at=key.revoked_at,
        last_used_at=key.last_used_at,
        links={"self": f"/v1/keys/{key.id}"},
    )
