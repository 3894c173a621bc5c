"""The schema: migrations make what the tables say, once, however often and by whoever run."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from migrations.versions import rev_0001_ledger as migration
from service.domain import states
from service.domain.problems import Problem
from service.ledger import schema
from service.ledger.session import Database, driver_url
from service.ledger.tables import metadata
from tests.ledger.conftest import libpq
from tests.ledger.test_claims import together

_CONSTRAINTS = """
    SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid)
    FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND contype <> 'n'
"""
_INDEXES = "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'"
_COLUMNS = """
    SELECT table_name, column_name, data_type, udt_name, is_nullable, column_default, is_identity
    FROM information_schema.columns WHERE table_schema = 'public'
"""


def catalogue(url: str) -> set[tuple[Any, ...]]:
    """All that the server itself says of columns, constraints and indexes."""
    found: set[tuple[Any, ...]] = set()
    with psycopg.connect(libpq(url)) as connection:
        for query in (_CONSTRAINTS, _INDEXES, _COLUMNS):
            found |= {(query, *row) for row in connection.execute(query).fetchall()}
    return {row for row in found if "alembic_version" not in str(row)}


def test_models_equal_migrations(ledger_url: str) -> None:
    engine = create_engine(driver_url(ledger_url))
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        assert compare_metadata(context, metadata) == []
    engine.dispose()


def test_models_equal_migrations_in_the_servers_own_words(ledger_url: str, empty_url: str) -> None:
    """Alembic compares neither CHECKs nor the conditions of indexes; the catalogue knows all."""
    engine = create_engine(driver_url(empty_url))
    metadata.create_all(engine)
    engine.dispose()
    assert catalogue(empty_url) == catalogue(ledger_url)


def test_every_reference_restricts_and_every_constraint_is_named(ledger_url: str) -> None:
    with psycopg.connect(libpq(ledger_url)) as connection:
        references = connection.execute(
            "SELECT conname, confdeltype FROM pg_constraint WHERE contype = 'f'"
        ).fetchall()
    assert len(references) > 20
    assert {action for _, action in references} == {"r"}


def test_the_migrated_transitions_are_the_domains() -> None:
    for literal, domain in (
        (migration.MODEL_TRANSITIONS, states.MODEL_TRANSITIONS),
        (migration.JOB_TRANSITIONS, states.JOB_TRANSITIONS),
        (migration.UNIT_TRANSITIONS, states.UNIT_TRANSITIONS),
    ):
        said = {str(before): {str(a) for a in after} for before, after in domain.items()}
        assert {before: set(after) for before, after in literal.items()} == said


def test_upgrading_twice_changes_nothing(empty_url: str) -> None:
    database = Database(empty_url)
    assert schema.current_revision(database) is None
    with pytest.raises(RuntimeError, match="migrate"):
        schema.require_current(database)
    schema.upgrade(empty_url)
    first = catalogue(empty_url)
    schema.upgrade(empty_url)
    assert catalogue(empty_url) == first
    assert schema.current_revision(database) == schema.head_revision()
    schema.require_current(database)
    database.dispose()


def test_several_processes_upgrade_at_once(empty_url: str) -> None:
    code = "import sys; from service.ledger import schema; schema.upgrade(sys.argv[1])"
    running = [
        subprocess.Popen([sys.executable, "-c", code, empty_url], stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    ends = [(process.communicate(timeout=120)[1], process.returncode) for process in running]
    assert [returncode for _, returncode in ends] == [0, 0, 0], ends
    database = Database(empty_url)
    schema.require_current(database)
    database.dispose()


def test_several_threads_upgrade_at_once(empty_url: str) -> None:
    together(3, lambda _: schema.upgrade(empty_url))
    database = Database(empty_url)
    schema.require_current(database)
    database.dispose()


def test_a_failed_migration_leaves_nothing(empty_url: str) -> None:
    with psycopg.connect(libpq(empty_url), autocommit=True) as connection:
        # a stranger's table where one of ours, late in the list, has to be
        connection.execute("CREATE TABLE outbox (id int)")
    with pytest.raises(Exception, match="outbox"):
        schema.upgrade(empty_url)
    with psycopg.connect(libpq(empty_url)) as connection:
        tables = connection.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
        ).fetchall()
    assert tables == [("outbox",)]


def test_an_unreachable_database_is_unavailable() -> None:
    with pytest.raises(Problem) as caught:
        schema.upgrade("postgresql://nobody:nothing@127.0.0.1:1/none")
    assert caught.value.code == "unavailable"
