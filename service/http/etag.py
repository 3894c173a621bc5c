"""Conditional answers (RFC 9110): bytes known by a tag, sent only to those who lack them.

Owns the comparison and the caching headers. The body is made only when it is sent.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from fastapi import Request, Response

#: Kept for as long as anybody likes, but by the caller alone: the next caller has another key.
FOR_EVER: Final = "private, max-age=31536000, immutable"
#: Kept, but asked about each time.
FOR_NOW: Final = "private, no-cache"

_TAG = re.compile(r'\s*(?:W/)?"([\x21\x23-\x7e\x80-\xff]*)"\s*(?:,|$)')


def immutable(
    request: Request,
    *,
    tag: str,
    media_type: str,
    body: Callable[[], bytes],
    filename: str | None = None,
) -> Response:
    """Bytes that will never be others.

    Args:
        tag: names the bytes; becomes the strong entity tag.
        body: makes them.
        filename: what a browser saves them as.
    """
    return _conditional(request, tag, media_type, body, FOR_EVER, filename)


def transient(
    request: Request, *, tag: str, media_type: str, body: Callable[[], bytes]
) -> Response:
    """Bytes that will soon be others: kept, but not used again without asking."""
    return _conditional(request, tag, media_type, body, FOR_NOW, None)


def none_match(headers: Mapping[str, str], tag: str) -> bool:
    """Whether `If-None-Match` lets an answer with this tag be sent (RFC 9110, 13.1.2).

    Compares weakly: `W/"a"` names `"a"` too. A field that cannot be read is no condition.
    """
    field = headers.get("if-none-match")
    if field is None:
        return True
    if field.strip() == "*":
        return False
    return tag not in listed_tags(field)


def still_matches(headers: Mapping[str, str], tag: str | None) -> bool:
    """Whether `If-Match` lets a thing with this tag be changed (RFC 9110, 13.1.1).

    Args:
        tag: of what is there now; None when nothing is.
    """
    field = headers.get("if-match")
    if field is None:
        return True
    if field.strip() == "*":
        return tag is not None
    # compared strongly: a weak tag names nothing to be changed
    strong = ",".join(part for part in field.split(",") if not part.strip().startswith("W/"))
    return tag is not None and tag in listed_tags(strong)


def listed_tags(field: str) -> frozenset[str]:
    """The opaque tags of a list such as `"a", W/"b"`; what is no tag ends the list."""
    found, position = set(), 0
    while position < len(field) and (match := _TAG.match(field, position)):
        found.add(match.group(1))
        position = match.end()
    return frozenset(found)


def _conditional(
    request: Request,
    tag: str,
    media_type: str,
    body: Callable[[], bytes],
    caching: str,
    filename: str | None,
) -> Response:
    headers = {"ETag": f'"{tag}"', "Cache-Control": caching, "Vary": "Authorization, Cookie"}
    if not none_match(request.headers, tag):
        return Response(status_code=304, headers=headers)
    if filename is not None:
        headers["Content-Disposition"] = f'attachment; filename="{filename}"'
    return Response(body(), media_type=media_type, headers=headers)
