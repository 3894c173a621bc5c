"""The schema's revision: brought up to date by `upgrade`, and compared before serving.

The migrations lie in the `migrations` package; no configuration file is needed.
"""

from __future__ import annotations

import threading
from importlib.resources import files
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, exc
from sqlalchemy.pool import NullPool

from service.domain.problems import Problem
from service.ledger.session import Database, driver_url
from service.ledger.sqltext import run

#: Alembic keeps its context in module globals: one run at a time within a process. Between
#: processes the migrations' advisory lock does the same.
_RUNNING: Final = threading.Lock()


def upgrade(database_url: str, revision: str = "head") -> None:
    """Brings the database to the newest revision. Safe to repeat and to run from several processes.

    Raises:
        Problem: `unavailable` when the database cannot be reached.
    """
    engine = create_engine(
        driver_url(database_url),
        poolclass=NullPool,
        connect_args={"connect_timeout": 5, "application_name": "lossatlas-migrations"},
    )
    try:
        with _RUNNING, engine.connect() as connection:
            configuration = _configuration()
            configuration.attributes["connection"] = connection
            command.upgrade(configuration, revision)
    except exc.OperationalError as error:
        raise Problem(
            "unavailable", "the database could not be migrated: " + str(error.orig).strip()
        ) from error
    finally:
        engine.dispose()


def head_revision() -> str:
    """The revision that this code needs."""
    head = ScriptDirectory.from_config(_configuration()).get_current_head()
    if head is None:
        raise LookupError("there are no migrations")
    return head


def current_revision(database: Database) -> str | None:
    """The database's revision; None before the first migration. Raises Problem `unavailable`."""
    # asked every second by probes: without Alembic's context, which logs whenever it is made
    with database.transaction() as session:
        if run(session, "SELECT to_regclass('alembic_version')").scalar_one() is None:
            return None
        found: str | None = run(session, "SELECT version_num FROM alembic_version").scalar()
        return found


class StaleSchema(RuntimeError):
    """The database's schema is not the one that this code needs."""


def require_current(database: Database) -> None:
    """Raises StaleSchema, saying what to run, unless the schema is the one this code needs."""
    current, head = current_revision(database), head_revision()
    if current != head:
        raise StaleSchema(
            f"the database's schema is at revision {current or 'none'}, this code needs {head}; "
            "migrate it first: lossatlas-server migrate"
        )


def _configuration() -> Config:
    configuration = Config()
    configuration.set_main_option("script_location", str(files("migrations")).replace("%", "%%"))
    return configuration
