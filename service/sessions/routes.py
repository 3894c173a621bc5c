"""HTTP of signing in and out, for people in browsers. No part of the API.

The page where they do is the catalog's.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import RedirectResponse

from service.domain.problems import Problem
from service.http.authentication import CHALLENGE
from service.http.cookies import Cookie, session_cookie
from service.http.dependencies import Principal, ServicesOf, Transaction
from service.http.forms import FormOf
from service.http.parameters import takes_further
from service.http.redirects import local, to_sign_in
from service.http.services import Services
from service.sessions import organisation, signing_in
from service.sessions.organisation import ATTEMPT_SECONDS, CALLBACK, Attempt

log = logging.getLogger(__name__)

#: What somebody is told at the page, by the code of what went wrong.
_TOLD: Final = {
    "token_refused": "provider",
    "forbidden": "rights",
    "identity_provider_unavailable": "away",
}

KeyForm = Annotated[Mapping[str, str], Depends(FormOf(("key", "next")))]

router = APIRouter(tags=["sessions"], include_in_schema=False)


@router.post("/sign-in")
def sign_in(
    request: Request, form: KeyForm, session: Transaction, services: ServicesOf
) -> Response:
    """Takes the fields `key` and `next`."""
    cookie = session_cookie(secure=services.settings.is_https)
    target = form.get("next")
    opened = signing_in.sign_in(
        session,
        form.get("key", ""),
        before=cookie.read(request.headers.get("cookie")),
        settings=services.settings,
    )
    if opened is None:
        log.warning("a sign-in with a key that is none")
        if "text/html" in request.headers.get("accept", ""):
            return to_sign_in(target, wrong="key")
        raise Problem(
            "unauthenticated", "this key is unknown, expired or revoked", headers=CHALLENGE
        )
    answer = RedirectResponse(local(target), status_code=303)
    cookie.set(answer, opened[1], seconds=services.settings.session_seconds)
    return answer


@router.post("/sign-out")
def sign_out(
    request: Request, session: Transaction, services: ServicesOf, _caller: Principal
) -> Response:
    """Ends the session, not the key."""
    cookie = session_cookie(secure=services.settings.is_https)
    secret = cookie.read(request.headers.get("cookie"))
    if secret is not None:
        signing_in.sign_out(session, secret)
    answer = to_sign_in()
    cookie.clear(answer)
    return answer


@router.get("/sign-in/oidc")
def begin(
    services: ServicesOf, to: Annotated[str | None, Query(alias="next")] = None
) -> RedirectResponse:
    """To the organisation's identity provider."""
    attempt = Attempt.new(local(to))
    try:
        answer = RedirectResponse(organisation.begun(services, attempt), status_code=303)
    except Problem as problem:
        return _told(problem, attempt.target)
    _attempt_cookie(services).set(answer, attempt.packed(), seconds=ATTEMPT_SECONDS)
    return answer


@router.get(CALLBACK)
@takes_further(None)  # a provider adds what it likes, which is to be ignored (RFC 6749, 4.1.2)
def finish(request: Request, services: ServicesOf) -> RedirectResponse:
    """Where the provider sends people back to."""
    cookies = request.headers.get("cookie")
    attempts = _attempt_cookie(services)
    session_ = session_cookie(secure=services.settings.is_https)
    attempt = Attempt.unpacked(attempts.read(cookies))
    query = dict(request.query_params)
    if attempt is None or not organisation.is_answer_to(attempt, query):
        return to_sign_in(wrong="started")
    try:
        _, secret = organisation.finished(services, attempt, query, before=session_.read(cookies))
    except Problem as problem:
        answer = _told(problem, attempt.target)
    else:
        answer = RedirectResponse(local(attempt.target), status_code=303)
        session_.set(answer, secret, seconds=services.settings.session_seconds)
    # of use once
    attempts.clear(answer)
    return answer


def _told(problem: Problem, target: str) -> RedirectResponse:
    """Back to the page, which says what went wrong in words for everybody; the log says more."""
    if problem.code not in _TOLD:
        raise problem
    log.warning("sign-in by the identity provider: %s: %s", problem.code, problem.detail)
    return to_sign_in(target, wrong=_TOLD[problem.code])


def _attempt_cookie(services: Services) -> Cookie:
    return Cookie("lossatlas-signing-in", services.settings.is_https)
