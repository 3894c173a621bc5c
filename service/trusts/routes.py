"""HTTP of trusts in CI systems, and of the exchange of their tokens for keys."""

from __future__ import annotations

import logging

from fastapi import APIRouter, Request, Response, status

from service.domain.ids import TrustId
from service.domain.problems import Problem
from service.http.dependencies import Administrator, ServicesOf, Transaction
from service.http.documentation import problems
from service.http.paging import Cursor, Limit, link_next
from service.ledger import trusts
from service.ledger.records import TrustRecord
from service.trusts import trusting
from service.trusts.schemas import Exchange, Exchanged, NewTrust, TrustOut, TrustPage

log = logging.getLogger(__name__)

router = APIRouter(tags=["identity"])


@router.post(
    "/v1/identity/token",
    summary="Exchange a CI system's identity token for a key",
    responses=problems(
        "invalid_request",
        "token_refused",
        "rate_limited",
        "identity_provider_unavailable",
        "internal_error",
    ),
)
def exchange(body: Exchange, services: ServicesOf) -> Exchanged:
    """For jobs of GitHub Actions, GitLab CI and alike, where no secret has to be kept then. Needs
    no key: the token says who asks, and a trust what they may do. The key lives for an hour and
    ends with the trust. Every token is exchanged once.
    """
    try:
        key, secret, trust = trusting.exchange(services, body.token, body.project)
    except Problem as problem:
        # for those who look for attacks, or for why a job fails
        log.warning("a token was not exchanged: %s: %s", problem.code, problem.detail)
        raise
    assert key.expires_at is not None  # noqa: S101 (made with it)
    return Exchanged.model_validate(
        {
            "key": secret,
            "key_id": key.id,
            "expires_at": key.expires_at,
            "project": trust.project,
            "role": trust.role,
        }
    )


@router.post(
    "/v1/identity/trusts",
    status_code=status.HTTP_201_CREATED,
    summary="Trust a repository's CI",
    responses=problems("invalid_request", "forbidden"),
)
def trust(
    body: NewTrust,
    response: Response,
    session: Transaction,
    services: ServicesOf,
    caller: Administrator,
) -> TrustOut:
    """Its identity tokens are then exchanged for keys of one project. Nothing is asked of the
    issuer before there is a token.
    """
    loopback = services.settings.oidc_loopback
    made = trusting.trust(session, body, by=caller.key.id, loopback=loopback)
    response.headers["Location"] = f"/v1/identity/trusts/{made.id}"
    return shown(made)


@router.get(
    "/v1/identity/trusts",
    summary="List trusts",
    responses=problems("invalid_request", "forbidden"),
)
def list_trusts(
    request: Request,
    response: Response,
    session: Transaction,
    _caller: Administrator,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> TrustPage:
    """Every trust, newest first, revoked ones included."""
    page = trusts.list(session, cursor=cursor, limit=limit)
    link_next(request, response, page.next_cursor)
    return TrustPage(items=[shown(one) for one in page.items], next_cursor=page.next_cursor)


@router.get(
    "/v1/identity/trusts/{trust_id}",
    summary="One trust",
    responses=problems("invalid_request", "forbidden", "not_found"),
)
def get(trust_id: TrustId, session: Transaction, _caller: Administrator) -> TrustOut:
    """What its tokens have to say."""
    return shown(trusting.get(session, trust_id))


@router.delete(
    "/v1/identity/trusts/{trust_id}",
    summary="End a trust",
    responses=problems("invalid_request", "forbidden", "not_found"),
)
def revoke(trust_id: TrustId, session: Transaction, caller: Administrator) -> TrustOut:
    """At once and for good, with the keys that came of it. Doing it again changes nothing."""
    return shown(trusting.revoke(session, trust_id, caller.key.id))


def shown(trust: TrustRecord) -> TrustOut:
    """A trust as the wire shows it."""
    return TrustOut.model_validate(
        {
            "id": trust.id,
            "issuer": trust.issuer,
            "audience": trust.audience,
            "project": trust.project,
            "role": trust.role,
            "claims": dict(sorted(trust.claims.items())),
            "created_at": trust.created_at,
            "created_by": trust.created_by,
            "revoked_at": trust.revoked_at,
            "links": {"self": f"/v1/identity/trusts/{trust.id}"},
        }
    )
