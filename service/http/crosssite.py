"""Requests that another site makes a browser send: recognised, and refused.

A browser adds the cookie by itself, so a change that comes with one needs two more things: it
must come from a page of this service, as the browser says, and it must bring the session's
token, which only such a page can know. Bearer keys are added by nobody but their owner and need
neither.
"""

from __future__ import annotations

import hmac
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from service.domain.problems import Problem
from service.http import forms
from service.http.authentication import KeyHolder
from service.http.limits import is_form, replayed

HEADER: Final = "X-CSRF-Token"
FIELD: Final = forms.ALWAYS

_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
#: Forms that people without a session send: another site must not sign them in as somebody else.
_ENTRANCES: Final = frozenset({"/sign-in"})


class CrossSite:
    """Middleware, where bodies of forms have been read and bounded.

    Args:
        public_url: how people reach the service, if that is known.
    """

    def __init__(self, app: ASGIApp, *, public_url: str | None) -> None:
        self._app = app
        self._public_url = public_url

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] not in _SAFE:
            caller: KeyHolder | None = scope["state"].get("caller")
            by_cookie = caller is not None and caller.session is not None
            headers = Headers(scope=scope)
            if (by_cookie or scope["path"] in _ENTRANCES) and not same_origin(
                headers, self._public_url
            ):
                raise Problem(
                    "cross_site_refused",
                    "this came from a page of another site, or LOSSATLAS_PUBLIC_URL is not the "
                    "address that you use; open the service's own page and try again",
                )
            if caller is not None and caller.session is not None:
                receive = await self._require_token(headers, caller.session.csrf_token, receive)
        await self._app(scope, receive, send)

    async def _require_token(self, headers: Headers, expected: str, receive: Receive) -> Receive:
        given = headers.get(HEADER)
        if given is None and is_form(headers):
            message = await receive()
            if message.get("more_body", False):
                raise Problem("cross_site_refused", f"send the session's token as {HEADER}")
            body = message.get("body", b"")
            receive = replayed(body, receive)
            given = forms.fields(body).get(FIELD)
        if given is None or not hmac.compare_digest(given.encode(), expected.encode()):
            raise Problem(
                "cross_site_refused",
                f"a change made with a session needs its token, as the form's field {FIELD} or "
                f"the header {HEADER}; reload the page and try again",
            )
        return receive


def same_origin(headers: Headers, public_url: str | None) -> bool:
    """Whether the request comes from a page of this service, or from no browser at all.

    Browsers say so in `Sec-Fetch-Site`, where the connection is secure, and in `Origin`.
    """
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None and site != "same-origin":
        return False
    if origin is None or (origin == "null" and site == "same-origin"):
        return True
    if public_url is not None and origin == public_url:
        return True
    try:
        return urlsplit(origin).netloc == headers.get("host", "/")
    except ValueError:
        return False
