"""A ledger of this folder's own, and settings that name it and the tests' broker."""

from __future__ import annotations

import pytest

from service.settings import Settings
from tests.ledger.conftest import database, ledger_url, world

__all__ = ["database", "ledger_url", "world"]


@pytest.fixture
def relay_settings(settings: Settings, ledger_url: str) -> Settings:
    """Hints are sent again at once, so that no test waits for the clock."""
    return settings.model_copy(update={"database_url": ledger_url, "hint_resend_seconds": 0.0})
