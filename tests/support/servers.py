"""Real servers for the tests: embedded ones, or those that the environment names.

Owns starting them once, waiting for each only when somebody asks for it, and making databases
and buckets on them. `DATABASE_URL`, `S3_ENDPOINT` (with its `S3_*`) and `BROKER_URL` each take
one embedded server's place.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
from minio import Minio
from minio.deleteobjects import DeleteObject
from psycopg import sql
from pydantic import SecretStr
from sqlalchemy import make_url

from service.embedded import processes
from service.embedded.broker import Broker
from service.embedded.postgres import Postgres
from service.embedded.s3 import S3
from service.embedded.servers import Server
from service.ledger import schema
from service.settings import Settings

READY_SECONDS = 60.0
STOP_SECONDS = 2.0

S3_VARIABLES = ("S3_ENDPOINT", "S3_ACCESS_KEY", "S3_SECRET_KEY", "S3_REGION")


@dataclass
class Servers:
    """Three servers, each awaited when its address is first asked for."""

    given: Mapping[str, str]
    started: dict[str, Server] = field(default_factory=dict)

    @property
    def database_url(self) -> str:
        """A database where its user may create databases."""
        if "DATABASE_URL" in self.given:
            return self.given["DATABASE_URL"]
        postgres = self._ready("DATABASE_URL")
        assert isinstance(postgres, Postgres)
        return postgres.url("postgres")

    @property
    def s3(self) -> dict[str, str]:
        """`S3_ENDPOINT` and its credentials."""
        if "S3_ENDPOINT" in self.given:
            return {name: self.given[name] for name in S3_VARIABLES if name in self.given}
        return dict(self._ready("S3_ENDPOINT").environment())

    @property
    def broker_url(self) -> str:
        if "BROKER_URL" in self.given:
            return self.given["BROKER_URL"]
        return self._ready("BROKER_URL").environment()["BROKER_URL"]

    def _ready(self, variable: str) -> Server:
        server = self.started[variable]
        processes.wait_until(server.ready, what=server.name, seconds=READY_SECONDS)
        return server


@contextmanager
def running(folder: Path) -> Iterator[Servers]:
    """Starts, beside each other, those that the environment does not name; stops them after."""
    given = {
        name: os.environ[name] for name in ("DATABASE_URL", *S3_VARIABLES) if os.environ.get(name)
    }
    if os.environ.get("BROKER_URL"):
        given["BROKER_URL"] = own_broker(os.environ["BROKER_URL"])
    logs = folder / "logs"
    servers = Servers(given)
    # the slowest to be ready is started first
    candidates: dict[str, Server] = {
        "S3_ENDPOINT": S3(folder / "s3", logs),
        "BROKER_URL": Broker(folder / "broker", logs),
        "DATABASE_URL": Postgres(folder / "postgres", logs, durable=False),
    }
    try:
        for variable, server in candidates.items():
            if variable not in given:
                servers.started[variable] = server
                server.start()
        yield servers
    finally:
        children = [s.child for s in servers.started.values() if s.child is not None]
        processes.stop(children, STOP_SECONDS)
        for server in servers.started.values():
            server.clear()


@contextmanager
def surroundings() -> Iterator[dict[str, str]]:
    """Environment for an `up` of a test's own: a fresh database and bucket on given servers.

    Empty where none is given: `up` then starts its own.
    """
    with ExitStack() as made:
        environment: dict[str, str] = {}
        if os.environ.get("DATABASE_URL"):
            environment["DATABASE_URL"] = made.enter_context(
                fresh_database(os.environ["DATABASE_URL"])
            )
        if os.environ.get("S3_ENDPOINT"):
            environment["S3_BUCKET"] = made.enter_context(fresh_bucket(os.environ))
        if os.environ.get("BROKER_URL"):
            environment["BROKER_URL"] = own_broker(os.environ["BROKER_URL"])
        yield environment


def own_broker(url: str) -> str:
    """The broker for this process of tests: of a Redis or Valkey a database of its own.

    Processes beside each other (pytest-xdist) would take each other's hints. RabbitMQ has no such
    thing without an administrator: tests against one run in a single process.
    """
    number = os.environ.get("PYTEST_XDIST_WORKER", "").removeprefix("gw")
    parts = urlsplit(url)
    if not number or parts.scheme not in ("redis", "rediss"):
        return url
    return parts._replace(path=f"/{int(number) + 1}").geturl()


def libpq(url: str) -> str:
    """The URL as psycopg itself takes it."""
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


@contextmanager
def fresh_database(database_url: str) -> Iterator[str]:
    """A new, empty database on that server, dropped in the end."""
    name = f"test_{secrets.token_hex(6)}"
    with psycopg.connect(libpq(database_url), autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    try:
        yield make_url(database_url).set(database=name).render_as_string(hide_password=False)
    finally:
        with psycopg.connect(libpq(database_url), autocommit=True) as admin:
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@contextmanager
def fresh_bucket(s3: Mapping[str, str]) -> Iterator[str]:
    """The name of a new, empty bucket, removed in the end with what is in it."""
    name = f"test-{secrets.token_hex(6)}"
    client = minio(s3)
    client.make_bucket(name)
    try:
        yield name
    finally:
        found = (DeleteObject(o.object_name) for o in client.list_objects(name, recursive=True))
        failed = list(client.remove_objects(name, found))
        assert not failed, failed
        client.remove_bucket(name)


def minio(s3: Mapping[str, str]) -> Minio:
    """The SDK's client, for what tests do behind the service's back."""
    secure, _, host = s3["S3_ENDPOINT"].partition("://")
    return Minio(
        host,
        access_key=s3.get("S3_ACCESS_KEY"),
        secret_key=s3.get("S3_SECRET_KEY"),
        region=s3.get("S3_REGION", "us-east-1"),
        secure=secure == "https",
    )


SettingsFactory = Callable[..., Settings]


@contextmanager
def settings_factory(servers: Servers, folder: Path) -> Iterator[SettingsFactory]:
    """Makes Settings, each with a migrated database, a bucket and a data folder of its own.

    Keyword arguments of the factory replace fields.
    """
    with ExitStack() as made:

        def make(**changes: Any) -> Settings:
            s3 = servers.s3
            values: dict[str, Any] = {
                "s3_endpoint": s3["S3_ENDPOINT"],
                "s3_access_key": s3.get("S3_ACCESS_KEY", ""),
                "s3_secret_key": SecretStr(s3.get("S3_SECRET_KEY", "")),
                "s3_region": s3.get("S3_REGION", "us-east-1"),
                "broker_url": servers.broker_url,
                "data_dir": folder / secrets.token_hex(4),
                **changes,
            }
            if "database_url" not in values:
                values["database_url"] = made.enter_context(fresh_database(servers.database_url))
                schema.upgrade(values["database_url"])
            if "s3_bucket" not in values:
                values["s3_bucket"] = made.enter_context(fresh_bucket(s3))
            return Settings(**values)

        yield make
