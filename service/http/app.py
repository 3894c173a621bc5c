"""The application: one explicit factory, everything passed in.

Owns the order of the layers: whose address it is, the edge (ids, log, last resort), authentication
and rate, bodies, what other sites send, a place to work at, and then the routes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from fastapi import APIRouter, Depends, FastAPI
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.middleware import Middleware

from service.http import documentation, health, problems
from service.http.authentication import METRICS, PUBLIC, Authentication
from service.http.cookies import session_cookie
from service.http.crosssite import CrossSite
from service.http.edge import Edge
from service.http.lanes import lane_of, widths
from service.http.limits import JsonBodies, RateLimit
from service.http.metrics import Metrics
from service.http.parameters import only_declared
from service.http.proxies import CallersAddress, Proxies
from service.http.services import Services
from service.http.shares import Shares
from service.ledger import schema


def create_app(services: Services, routers: Sequence[APIRouter]) -> FastAPI:
    """The application over these services.

    Raises:
        StaleSchema: the database's schema is not the one that this code needs; says what to run.
        Problem: `unavailable` when the database cannot be reached.
    """
    schema.require_current(services.database)
    settings = services.settings
    metrics = Metrics()

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        services.changes.start()
        try:
            yield
        finally:
            services.changes.stop()

    app = _bare(
        routers,
        lifespan=lifespan,
        middleware=[
            Middleware(CallersAddress, proxies=Proxies(settings.trusted_proxies)),
            Middleware(Edge, metrics=metrics, https=settings.is_https),
            Middleware(
                Authentication,
                database=services.database,
                rate=RateLimit(settings.requests_per_minute),
                entrances=RateLimit(settings.sign_ins_per_minute, who="this address"),
                failures=RateLimit(settings.wrong_keys_per_minute, who="this address"),
                cookie=session_cookie(secure=settings.is_https),
                idle_seconds=settings.session_idle_seconds,
                public=PUBLIC | {METRICS} if settings.metrics_public else PUBLIC,
            ),
            Middleware(
                JsonBodies, max_bytes=settings.max_body_bytes, streams=_streams, forms=_forms
            ),
            Middleware(CrossSite, public_url=settings.public_url),
            Middleware(
                Shares, widths=widths(settings), lane_of=lane_of, held=settings.held_per_key
            ),
        ],
    )
    app.state.services = services
    app.state.metrics = metrics
    app.state.readiness = health.Readiness()
    problems.install(app)
    body = documentation.document(app)
    page = documentation.page(body)

    @app.get("/openapi.json", include_in_schema=False)
    async def openapi() -> JSONResponse:
        return JSONResponse(body, headers={"Cache-Control": "no-cache"})

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(page, headers={"Cache-Control": "no-cache"})

    return app


def document(routers: Sequence[APIRouter]) -> dict[str, Any]:
    """The OpenAPI document of these routers. Needs no server."""
    return documentation.document(_bare(routers))


def _bare(routers: Sequence[APIRouter], **options: Any) -> FastAPI:
    app = FastAPI(
        title=documentation.TITLE,
        version=documentation.VERSION,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=documentation.operation_id,
        dependencies=[Depends(only_declared)],
        **options,
    )
    for router in (*routers, health.router):
        app.include_router(router)
    return app


def _forms(path: str) -> bool:
    """Pages have forms; the API has none."""
    return not path.startswith("/v1/")


def _streams(method: str, path: str) -> bool:
    """Bodies that are bytes of any size."""
    return method == "PUT" and path.startswith("/v1/objects/")
