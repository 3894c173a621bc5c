"""Errors as callers meet them: every one is `application/problem+json` (RFC 9457).

Owns the translation of the framework's errors into our catalogue. No traceback leaves here.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.types import Scope

from service.domain.problems import MOST_LOOKED_AT, FieldError, Problem
from service.http import quarantine
from service.inputs.bodies import field_errors

log = logging.getLogger(__name__)

MEDIA_TYPE: Final = "application/problem+json"
#: A message may quote what was sent, which may be long.
_LONGEST_DETAIL: Final = 1000

_OF_STATUS: Final[Mapping[int, str]] = {
    400: "malformed_json",
    401: "unauthenticated",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    406: "not_acceptable",
    411: "length_required",
    413: "body_too_large",
    415: "unsupported_media_type",
    416: "range_not_satisfiable",
    503: "unavailable",
}


def install(app: FastAPI) -> None:
    """Makes every error that the framework raises or lets through a problem."""
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(HTTPException, _http)


def request_id_of(scope: Scope) -> str | None:
    """The request's id, which the edge has put there."""
    found: str | None = scope.get("state", {}).get("request_id")
    return found


def rendered(problem: Problem, scope: Scope) -> Response:
    """The answer that tells of a problem."""
    body = problem.to_json(request_id_of(scope))
    body["detail"] = _shortened(body["detail"])
    for error in body["errors"]:
        error["detail"] = _shortened(error["detail"])
        error["pointer"] = _shortened(error["pointer"])
    return Response(
        # details may quote text that is no valid Unicode: half a pair is written as JSON escapes it
        json.dumps(body, ensure_ascii=False).encode("utf-8", "backslashreplace"),
        status_code=problem.kind.status,
        media_type=MEDIA_TYPE,
        headers={"Cache-Control": "no-store", **problem.headers},
    )


def internal_error() -> Problem:
    """What a caller is told of a fault of ours."""
    return Problem(
        "internal_error",
        "something went wrong on our side; the request's id finds it in the service's log",
    )


def of_validation(error: RequestValidationError) -> Problem:
    """`invalid_request`, or `malformed_json` for a body that cannot be read.

    Pointers are RFC 6901: into the body, or `/<name>` of a parameter.
    """
    distinct: dict[FieldError, None] = {}
    given = error.errors()
    looked_at = given
    if len(given) > MOST_LOOKED_AT and any(
        _faults(one, error.body) for one in given[:MOST_LOOKED_AT]
    ):
        looked_at = given[:MOST_LOOKED_AT]
    for one in looked_at:
        if one["type"] == "json_invalid":
            return Problem("malformed_json", f"the body is not JSON: {one['ctx']['error']}")
        distinct.update(dict.fromkeys(_faults(one, error.body)))
    found = list(distinct)
    first = found[0]
    beyond = len(given) - len(looked_at)
    others = len(found) - 1 + beyond
    more = f" (and {others} more faults)" if others else ""
    return Problem(
        "invalid_request",
        f"{first.pointer or 'the body'}: {first.detail}{more}",
        errors=found,
        more_errors=beyond,
    )


def _faults(error: Mapping[str, Any], body: Any) -> Sequence[FieldError]:
    where, *location = error["loc"]
    if where == "body":
        given = body
        if not location and error["type"] == "missing":
            return [FieldError("", "is missing; send a JSON object")]
    else:
        # parameters are no document: let one stand for it in which each is a member
        given = {location[0]: error.get("input")} if location else {}
    return field_errors([{**error, "loc": tuple(location)}], given)  # type: ignore[typeddict-item]


def of_http(error: HTTPException) -> Problem:
    """The framework's own refusals: unknown paths, methods that a path lacks."""
    code = _OF_STATUS.get(error.status_code)
    if code is None:
        code = "invalid_request" if error.status_code < 500 else "internal_error"
    detail = {
        "not_found": "there is nothing at this address; GET /openapi.json lists what there is",
        "method_not_allowed": "this address does not take this method",
    }.get(code, str(error.detail))
    return Problem(code, detail, headers=error.headers)


async def _problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)  # noqa: S101 (registered for nothing else)
    if error.kind.status >= 500:
        log.warning(
            "%s: %s",
            error.code,
            error.detail,
            extra={"request_id": request_id_of(request.scope)},
        )
        await quarantine.note(request, error)
    return rendered(error, request.scope)


async def _validation(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 (registered for nothing else)
    return rendered(of_validation(error), request.scope)


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 (registered for nothing else)
    return rendered(of_http(error), request.scope)


def _shortened(text: str) -> str:
    if 4 * len(text) <= _LONGEST_DETAIL:
        return text
    # in bytes, so that an answer is of the same size in every script
    data = text.encode("utf-8", "surrogatepass")
    if len(data) <= _LONGEST_DETAIL:
        return text
    cut = data[: _LONGEST_DETAIL - 3]
    while cut and data[len(cut)] & 0xC0 == 0x80:
        cut = cut[:-1]  # not within a character
    return cut.decode("utf-8", "surrogatepass") + "…"
