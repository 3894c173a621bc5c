"""The processes of the service, composed of what the other modules own.

Never reads arguments: `service.command` does.
"""

from __future__ import annotations

import gc
import json
import logging
import socket
from collections.abc import Sequence
from typing import Final

from fastapi import APIRouter

from service.aliases.routes import router as aliases_router
from service.catalog.routes import router as catalog_router
from service.checks.routes import router as checks_router
from service.datasets.routes import router as datasets_router
from service.directions.routes import router as directions_router
from service.domain.problems import Problem
from service.http.app import create_app, document
from service.http.services import Services
from service.jobs.routes import router as jobs_router
from service.keys import issuing as key_service
from service.keys.routes import router as keys_router
from service.landscapes.differences import router as differences_router
from service.landscapes.editing import router as landscape_edits_router
from service.landscapes.formats.routes import router as formats_router
from service.landscapes.routes import router as landscapes_router
from service.landscapes.sharing.routes import router as sharing_router
from service.ledger import schema
from service.ledger.records import Role
from service.ledger.session import Database
from service.models.editing import router as model_edits_router
from service.models.routes import router as models_router
from service.objects.routes import router as objects_router
from service.projects.routes import router as projects_router
from service.sessions.routes import router as sessions_router
from service.settings import Settings
from service.trusts.routes import router as trusts_router
from service.uploads.routes import router as uploads_router

log = logging.getLogger(__name__)

#: Every feature, in the order of the document.
ROUTERS: Final[Sequence[APIRouter]] = (
    objects_router,
    uploads_router,
    models_router,
    model_edits_router,
    datasets_router,
    directions_router,
    jobs_router,
    landscapes_router,
    formats_router,
    landscape_edits_router,
    differences_router,
    sharing_router,
    checks_router,
    aliases_router,
    keys_router,
    sessions_router,
    trusts_router,
    projects_router,
    catalog_router,
)


def api(settings: Settings) -> None:
    """Serves HTTP until SIGTERM or SIGINT. Raises AddressInUse, StaleSchema, Problem."""
    from service.http.serving import Server

    services = Services.from_settings(settings)
    app = create_app(services, ROUTERS)
    try:
        services.store.ensure_bucket()
    except Problem as problem:
        # it may come up later; /readyz tells
        log.warning("the object store is away: %s", problem.detail)
    # what is there now stays: collections need not look through it again, while everybody waits
    gc.collect()
    gc.freeze()
    with bound(settings.host, settings.port) as listening:
        host, port = listening.getsockname()[:2]
        log.info("serving http://%s:%d", f"[{host}]" if ":" in host else host, port)
        Server(app, services, host=settings.host, port=settings.port).run(sockets=[listening])
    services.database.dispose()


def relay(settings: Settings) -> None:
    """Carries hints to the broker until SIGTERM or SIGINT. Raises StaleSchema, Problem."""
    # the only process here that needs Celery
    from service.dispatch import relay as dispatch

    database = Database(settings.database_url, application_name="lossatlas-relay")
    schema.require_current(database)
    database.dispose()
    dispatch.run(settings)


def create_key(
    settings: Settings, *, name: str, role: Role, projects: list[str] | None, can_promote: bool
) -> str:
    """Makes a key; its secret. `projects`: None for all. Raises StaleSchema, Problem."""
    database = Database(settings.database_url, application_name="lossatlas-keys")
    schema.require_current(database)
    with database.transaction() as session:
        key, secret = key_service.make(
            session,
            name=name,
            role=role,
            projects=projects or None,
            expires_at=None,
            by=None,
            can_promote=can_promote,
        )
    log.info("made %s", key.id)
    return secret


def openapi_text() -> str:
    """The OpenAPI document as it is committed."""
    return json.dumps(document(ROUTERS), indent=1, ensure_ascii=False) + "\n"


class AddressInUse(OSError):
    """The address cannot be listened on."""


def bound(host: str, port: int) -> socket.socket:
    """A listening socket. Raises AddressInUse."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise AddressInUse(
            f"cannot listen on {host} port {port} ({error.strerror}); choose another by "
            "LOSSATLAS_HOST and LOSSATLAS_PORT"
        ) from error
    # connections take it over; asyncio sets it only where the socket names its protocol, and an
    # answer's body would otherwise wait for the caller's acknowledgement of its head (40 ms)
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening
