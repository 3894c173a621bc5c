"""Runs the migrations on the connection that `service.ledger.schema` hands over.

One process at a time, by an advisory lock; within it everything is one transaction. A migration
that cannot get its locks soon gives up, instead of queueing the whole service behind it.
"""

from __future__ import annotations

from typing import Final

from alembic import context
from sqlalchemy import Connection, text

from service.ledger.tables import metadata

#: Any number does that nobody else locks; spells "migrate".
_LOCK: Final = 0x6D696772617465


def migrate(connection: Connection) -> None:
    """Applies what is missing, waiting first for another process that is doing the same."""
    context.configure(connection=connection, target_metadata=metadata, compare_server_default=True)
    with context.begin_transaction():
        connection.execute(text("SET LOCAL statement_timeout = '120s'"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        connection.execute(text("SET LOCAL lock_timeout = '5s'"))
        connection.execute(text("SET LOCAL statement_timeout = '15min'"))
        context.run_migrations()


if context.is_offline_mode():
    raise RuntimeError("migrations need a database: use service.ledger.schema.upgrade")
migrate(context.config.attributes["connection"])
