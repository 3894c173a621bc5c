"""A migrated database of this folder's own on the tests' server, emptied before each test."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import make_url

from service.ledger import schema
from service.ledger.session import Database
from service.ledger.tables import metadata
from tests.ledger.world import World


def sibling(url: str, name: str) -> str:
    """The same server's other database."""
    return make_url(url).set(database=name).render_as_string(hide_password=False)


def libpq(url: str) -> str:
    """The URL as psycopg itself takes it."""
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


@contextmanager
def made(database_url: str) -> Iterator[str]:
    """A new database on the tests' server, dropped in the end."""
    name = f"ledger_{secrets.token_hex(6)}"
    with psycopg.connect(libpq(database_url), autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            yield sibling(database_url, name)
        finally:
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def empty_url(database_url: str) -> Iterator[str]:
    """A database without any table."""
    with made(database_url) as url:
        yield url


@pytest.fixture(scope="session")
def ledger_url(database_url: str) -> Iterator[str]:
    """A database at the head revision."""
    with made(database_url) as url:
        schema.upgrade(url)
        yield url


@pytest.fixture
def database(ledger_url: str) -> Iterator[Database]:
    """The ledger, empty."""
    with psycopg.connect(libpq(ledger_url), autocommit=True) as admin:
        names = sql.SQL(", ").join(sql.Identifier(table) for table in metadata.tables)
        admin.execute(sql.SQL("TRUNCATE {} RESTART IDENTITY CASCADE").format(names))
    opened = Database(ledger_url, pool_size=10, application_name="ledger-tests")
    yield opened
    opened.dispose()


@pytest.fixture
def world(database: Database) -> World:
    """A key, and ways to make everything else."""
    return World(database)
