"""From a template and values to an answer: escaped always, under a policy that runs only our own.

Owns the templates' environment, the headers of every page, and how a problem looks to a person.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from functools import cache
from typing import Any, Final

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.exceptions import HTTPException

from service.catalog import words
from service.catalog.assets import address_of
from service.domain.printable import shown
from service.domain.problems import Problem
from service.http.authentication import KeyHolder
from service.http.problems import of_http, of_validation, request_id_of
from service.landscapes.formats.table import FORMATS

#: `same-origin`, since with `no-referrer` browsers would not say where a form came from.
HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; "
    "img-src 'self'; connect-src 'self'; frame-src 'self'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "private, no-store",
    "Vary": "Cookie, Authorization",
}


def _shown(value: Any) -> Any:
    """Every text of a page, but for markup of our own."""
    return shown(value, breaks=True) if type(value) is str else value


@cache
def environment() -> Environment:
    """Where templates come from and what they may use."""
    made = Environment(
        loader=PackageLoader("service.catalog", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals["static"] = address_of
    made.globals["formats"] = FORMATS
    made.filters.update(
        number=words.number,
        when=words.when,
        ago=words.ago,
        stamp=words.stamp,
        measure_name=words.measure_name,
        kind_name=words.kind_name,
        thumbnail=words.thumbnail,
        count=words.count,
        duration=words.duration,
        short=words.short,
        pretty=words.pretty,
    )
    return made


def page(template: str, caller: KeyHolder | None, status: int = 200, /, **values: Any) -> Response:
    """The HTML of a template. `caller` is None for people who have not signed in."""
    html = environment().get_template(template).render(person=caller, **values)
    return Response(
        html, status_code=status, media_type="text/html; charset=utf-8", headers=dict(HEADERS)
    )


def problem_page(problem: Problem, request: Request) -> Response:
    """What a person sees of a problem."""
    answer = page(
        "problem.html",
        getattr(request.state, "caller", None),
        problem.kind.status,
        section="",
        problem=problem,
        request_id=request_id_of(request.scope),
    )
    answer.headers.update(problem.headers)
    return answer


class PageRoute(APIRoute):
    """Shows problems as pages to those who take HTML, and as JSON to everybody else."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handled(request: Request) -> Response:
            try:
                return await handle(request)
            except (Problem, RequestValidationError, HTTPException) as error:
                if "text/html" not in request.headers.get("accept", ""):
                    raise
                return problem_page(_told(error), request)

        return handled


def _told(error: Exception) -> Problem:
    if isinstance(error, RequestValidationError):
        return of_validation(error)
    if isinstance(error, HTTPException):
        return of_http(error)
    assert isinstance(error, Problem)  # noqa: S101 (nothing else is caught)
    return error
