"""The page where people sign in: plain HTML without scripts."""

from __future__ import annotations

from html import escape
from typing import Final
from urllib.parse import urlencode

#: For pages with a form: it may be sent to this service alone. `same-origin`, since with
#: `no-referrer` browsers would not say where the form came from.
HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
    "Referrer-Policy": "same-origin",
}

_STYLE: Final = (
    ":root{color-scheme:light dark}"
    "body{font:16px/1.5 system-ui,sans-serif;margin:0;display:grid;place-items:center;"
    "min-height:100vh}main{width:min(24rem,90vw)}label,input,button{display:block;width:100%;"
    "box-sizing:border-box;font:inherit}input,button{padding:.5rem;margin:.25rem 0 1rem}"
)


def sign_in_page(*, target: str, wrong: str | None, provider: bool) -> str:
    """The HTML.

    Args:
        target: where to go afterwards, an address within this service.
        wrong: what went wrong before, as a sentence.
        provider: whether the organisation's identity provider can be asked.
    """
    told = "" if wrong is None else f'<p role="alert">{escape(wrong)}</p>'
    query = escape(urlencode({"next": target}))
    link = f'<p><a href="/sign-in/oidc?{query}">Sign in with your organisation</a>'
    button = link if provider else ""
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Sign in: Lossatlas</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style>'
        f"<main><h1>Lossatlas</h1>{told}{button}"
        '<form method="post" action="/sign-in">'
        f'<input type="hidden" name="next" value="{escape(target)}">'
        '<label for="key">API key</label>'
        '<input id="key" name="key" type="password" required autocomplete="current-password">'
        "<button>Sign in</button></form></main></html>"
    )
