"""A running API of this folder's own, and browsers that call it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from service.settings import Settings
from tests.features.caller import Caller
from tests.support.serving import Serving, serving


@pytest.fixture(scope="module")
def running(settings: Settings) -> Iterator[Serving]:
    with serving(settings) as api:
        yield api


@pytest.fixture(scope="module")
def admin(running: Serving) -> Iterator[Caller]:
    with running.client(running.key("admin")[1]) as http:
        yield Caller(http, running.census)


@pytest.fixture(scope="module")
def nobody(running: Serving) -> Iterator[Caller]:
    """Has no key."""
    with running.client() as http:
        yield Caller(http, running.census)
