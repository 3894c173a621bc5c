"""Where a browser is sent: to a page of this service and nowhere else."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote, urlsplit

from starlette.responses import RedirectResponse

#: What can go wrong at signing in, by the word that the address holds.
WRONG: Final[Mapping[str, str]] = {
    "key": "This key is unknown, expired or revoked.",
    "provider": "The identity provider did not confirm who you are. Try again.",
    "away": "The identity provider does not answer. Try again in a moment.",
    "rights": "The identity provider knows you, but no rule gives you access here. "
    "Ask an administrator.",
    "started": "This sign-in was not started in this browser, or too long ago. Try again.",
}

_LONGEST: Final = 2000
#: No space, no control character (browsers drop tabs and line breaks), no backslash (which they
#: take for a slash).
_PLAIN: Final = re.compile(r"[\x21-\x5b\x5d-\x7e]+")


def local(target: str | None) -> str:
    """`target` if it is an address within this service, its first page otherwise.

    Within means: a path that begins with one slash. `//host`, `/\\host`, other schemes and the
    pages of signing in and out are not.
    """
    if not target or len(target) > _LONGEST or not _PLAIN.fullmatch(target):
        return "/"
    try:
        parts = urlsplit(target)
    except ValueError:
        return "/"
    if parts.scheme or parts.netloc or not target.startswith("/") or target.startswith("//"):
        return "/"
    if parts.path.startswith(("/sign-in", "/sign-out")):
        return "/"
    return target


def to_sign_in(target: str | None = None, *, wrong: str | None = None) -> RedirectResponse:
    """To the page where people sign in, and from there back to `target`.

    Args:
        wrong: what went wrong, as a word that the page explains.
    """
    query = []
    if wrong is not None:
        query.append(f"wrong={quote(wrong)}")
    if (inside := local(target)) != "/":
        query.append(f"next={quote(inside, safe='/')}")
    return RedirectResponse("/sign-in" + ("?" + "&".join(query) if query else ""), status_code=303)
