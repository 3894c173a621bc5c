"""Forms of pages: few short fields, each of them once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final
from urllib.parse import parse_qsl

from fastapi import Depends, Request

from service.domain.problems import Problem
from service.http.limits import is_form

_MOST_FIELDS: Final = 200


def fields(body: bytes) -> Mapping[str, str]:
    """The fields of an urlencoded form. Raises Problem `invalid_request`."""
    try:
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=_MOST_FIELDS,
        )
    except ValueError:
        raise Problem("invalid_request", "the body is no form") from None
    found = dict(pairs)
    if len(found) < len(pairs):
        raise Problem("invalid_request", "a field of the form is there twice")
    return found


async def _form(request: Request) -> Mapping[str, str]:
    body = await request.body()
    if not body:
        return {}
    if not is_form(request.headers):
        raise Problem("unsupported_media_type", "send the page's form")
    return fields(body)


#: What a page's form said.
Form = Annotated[Mapping[str, str], Depends(_form)]
