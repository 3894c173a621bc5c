"""Forms of pages: few short fields, each of them once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl

from fastapi import Request

from service.domain.problems import Problem
from service.http.limits import is_form
from service.http.parameters import refuse_others

#: Every form has it: the session's token.
ALWAYS: Final = "csrf_token"
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


@dataclass(frozen=True)
class FormOf:
    """A dependency: what a page's form said, which has these fields and no others."""

    names: tuple[str, ...]

    async def __call__(self, request: Request) -> Mapping[str, str]:
        """Raises Problem `invalid_request` for a field that the form does not have."""
        body = await request.body()
        if not body:
            return {}
        if not is_form(request.headers):
            raise Problem("unsupported_media_type", "send the page's form")
        found = fields(body)
        refuse_others(dict.fromkeys(found, 1), dict.fromkeys((*self.names, ALWAYS), False), "field")
        return found
