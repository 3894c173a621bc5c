"""HTTP of data formats: one address for each line of the table, GET and HEAD."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from service.domain.ids import LandscapeId
from service.http.dependencies import Principal, ServicesOf
from service.http.documentation import problems
from service.http.etag import immutable
from service.inputs import lookup
from service.landscapes import exports
from service.landscapes.documented import bytes_of
from service.landscapes.formats.format import DataFormat
from service.landscapes.formats.table import FORMATS

router = APIRouter(tags=["landscapes"])


def _add(format: DataFormat[Any]) -> None:
    def serve(
        landscape_id: LandscapeId,
        query: Any,
        request: Request,
        services: ServicesOf,
        caller: Principal,
    ) -> Response:
        with services.database.transaction() as session:
            landscape = lookup.landscape(session, caller, landscape_id)
            about = exports.about(session, landscape)
        return immutable(
            request,
            tag=format.tag(landscape, about, query),
            media_type=format.media_type,
            filename=f"{landscape.id}.{format.suffix}" if format.saved else None,
            body=lambda: format.encode(services, landscape, about, query),
        )

    serve.__name__ = f"data_{format.suffix}"
    serve.__doc__ = format.description
    serve.__annotations__["query"] = Annotated[format.query, Query()]
    address = f"/v1/landscapes/{{landscape_id}}/data.{format.suffix}"
    router.get(
        address,
        summary=format.summary,
        response_class=Response,
        responses={
            **bytes_of(format.media_type, format.answer, dict(format.content)),
            **problems("invalid_request", "not_found", *format.problems),
        },
    )(serve)
    router.head(address, include_in_schema=False)(serve)


for _format in FORMATS:
    _add(_format)
