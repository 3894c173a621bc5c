"""Pages of lists: the parameters, and the `Link` to the next one."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlencode

from fastapi import Query, Request, Response

from service.ledger.paging import MOST

Limit = Annotated[int, Query(ge=1, le=MOST, description="Items on a page at most.")]
Cursor = Annotated[
    str | None,
    Query(
        max_length=1000,
        description="`next_cursor` of the page before; left out for the first page.",
    ),
]


def link_next(request: Request, response: Response, cursor: str | None) -> None:
    """Adds `Link: rel="next"` (RFC 8288): the same question with the next page's cursor."""
    if cursor is None:
        return
    kept = [(name, value) for name, value in request.query_params.multi_items() if name != "cursor"]
    query = urlencode([*kept, ("cursor", cursor)])
    response.headers["Link"] = f'<{request.url.path}?{query}>; rel="next"'
