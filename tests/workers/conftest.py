"""The ledger of the ledger's own tests, for what workers do to it."""

from __future__ import annotations

from tests.ledger.conftest import database, ledger_url, world

__all__ = ["database", "ledger_url", "world"]
