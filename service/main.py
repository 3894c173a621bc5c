"""The processes of the service: `python -m service.main api|relay|migrate|openapi|create_key`.

Composes what the other modules own. What is wrong with the surroundings (no database, an old
schema, an address in use) is said in one line on standard error, with exit status 1.
"""

from __future__ import annotations

import argparse
import json
import logging
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from fastapi import APIRouter
from pydantic import TypeAdapter, ValidationError

from service import telemetry
from service.aliases.routes import router as aliases_router
from service.catalog.routes import router as catalog_router
from service.checks.routes import router as checks_router
from service.datasets.routes import router as datasets_router
from service.directions.routes import router as directions_router
from service.domain.ids import ProjectName
from service.domain.problems import Problem
from service.http.app import create_app, document
from service.http.services import Services
from service.jobs.routes import router as jobs_router
from service.keys import service as key_service
from service.keys.routes import router as keys_router
from service.landscapes.differences import router as differences_router
from service.landscapes.editing import router as landscape_edits_router
from service.landscapes.formats.routes import router as formats_router
from service.landscapes.routes import router as landscapes_router
from service.landscapes.sharing.routes import router as sharing_router
from service.ledger import schema
from service.ledger.session import Database
from service.models.editing import router as model_edits_router
from service.models.routes import router as models_router
from service.objects.routes import router as objects_router
from service.projects.routes import router as projects_router
from service.sessions.routes import router as sessions_router
from service.settings import Settings
from service.store.objects import ObjectStore
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


def api(settings: Settings, _arguments: argparse.Namespace) -> None:
    """Serves HTTP until SIGTERM or SIGINT."""
    from service.http.serving import Server

    services = Services.from_settings(settings)
    app = create_app(services, ROUTERS)
    try:
        services.store.ensure_bucket()
    except Problem as problem:
        # it may come up later; /readyz tells
        log.warning("the object store is away: %s", problem.detail)
    with bound(settings.host, settings.port) as listening:
        host, port = listening.getsockname()[:2]
        log.info("serving http://%s:%d", f"[{host}]" if ":" in host else host, port)
        Server(app, services, host=settings.host, port=settings.port).run(sockets=[listening])
    services.database.dispose()


def relay(settings: Settings, _arguments: argparse.Namespace) -> None:
    """Carries hints to the broker until SIGTERM or SIGINT."""
    # the only process here that needs Celery
    from service.dispatch import relay as dispatch

    database = Database(settings.database_url, application_name="lossatlas-relay")
    schema.require_current(database)
    database.dispose()
    dispatch.run(settings)


def migrate(settings: Settings, _arguments: argparse.Namespace) -> None:
    """Brings the database's schema up to date, and makes the bucket."""
    schema.upgrade(settings.database_url)
    log.info("the schema is at revision %s", schema.head_revision())
    ObjectStore.from_settings(settings).ensure_bucket()


def openapi(_settings: Settings, _arguments: argparse.Namespace) -> None:
    """Writes the OpenAPI document to standard output. Needs no server."""
    sys.stdout.write(openapi_text())


def create_key(settings: Settings, arguments: argparse.Namespace) -> None:
    """Makes a key and writes its secret, alone, to standard output."""
    database = Database(settings.database_url, application_name="lossatlas-keys")
    schema.require_current(database)
    with database.transaction() as session:
        key, secret = key_service.make(
            session,
            name=arguments.name,
            role=arguments.role,
            projects=arguments.project or None,
            expires_at=None,
            by=None,
            can_promote=arguments.can_promote,
        )
    log.info("made %s", key.id)
    sys.stdout.write(f"{secret}\n")


def openapi_text() -> str:
    """The OpenAPI document as it is committed."""
    return json.dumps(document(ROUTERS), indent=1, ensure_ascii=False) + "\n"


_COMMANDS: Final[Mapping[str, Callable[[Settings, argparse.Namespace], None]]] = {
    "api": api,
    "relay": relay,
    "migrate": migrate,
    "openapi": openapi,
    "create_key": create_key,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one process; its exit status."""
    arguments = _parser().parse_args(argv)
    try:
        settings = Settings()
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}"
            for fault in error.errors(include_url=False, include_input=False)
        )
        return _refuse(f"the settings are not valid: {wrong}")
    telemetry.configure(settings.log_level, as_json=settings.log_json)
    try:
        _COMMANDS[arguments.command](settings, arguments)
    except Problem as problem:
        return _refuse(problem.detail)
    except (schema.StaleSchema, AddressInUse, ValueError) as error:
        return _refuse(str(error))
    return 0


class AddressInUse(Exception):
    """The address cannot be listened on."""


def bound(host: str, port: int) -> socket.socket:
    """A listening socket. Raises AddressInUse."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise AddressInUse(
            f"cannot listen on {host} port {port} ({error.strerror}); choose another by "
            "LOSSATLAS_HOST and LOSSATLAS_PORT"
        ) from error


def _refuse(why: str) -> int:
    sys.stderr.write(f"lossatlas: {why}\n")
    return 1


def _project(text: str) -> str:
    try:
        return TypeAdapter[str](ProjectName).validate_python(text)
    except ValidationError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no project's name: lower case letters, digits, '.', '_', '-'"
        ) from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m service.main", description="The processes of Lossatlas."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, command in _COMMANDS.items():
        added = commands.add_parser(name, help=command.__doc__, description=command.__doc__)
        if name == "create_key":
            added.add_argument("--name", required=True, help="Whose key this is.")
            added.add_argument("--role", required=True, choices=("reader", "submitter", "admin"))
            added.add_argument(
                "--project",
                action="append",
                type=_project,
                help="May be given several times; left out: all projects.",
            )
            added.add_argument(
                "--can-promote",
                action="store_true",
                help="May move aliases, which others are judged against.",
            )
    return parser


if __name__ == "__main__":
    sys.exit(main())
