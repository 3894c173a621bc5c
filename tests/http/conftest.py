"""A running API and, for each role, a caller."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from service.http.services import Services
from service.settings import Settings
from tests.features.caller import Caller
from tests.features.pushed import Pushed, push
from tests.features.reference import MLP
from tests.support.serving import Serving, serving


@pytest.fixture(scope="session")
def running(settings: Settings) -> Iterator[Serving]:
    with serving(settings) as api:
        yield api


@pytest.fixture(scope="session")
def services(running: Serving) -> Services:
    """The API's own connections."""
    return running.services


@pytest.fixture(scope="session")
def admin(running: Serving) -> Iterator[Caller]:
    with running.client(running.key("admin")[1]) as http:
        yield Caller(http, running.census)


@pytest.fixture(scope="session")
def api(running: Serving) -> Iterator[Caller]:
    """May add to every project."""
    with running.client(running.key("submitter")[1]) as http:
        yield Caller(http, running.census)


@pytest.fixture(scope="session")
def reader(running: Serving) -> Iterator[Caller]:
    with running.client(running.key("reader")[1]) as http:
        yield Caller(http, running.census)


@pytest.fixture(scope="session")
def stranger(running: Serving) -> Iterator[Caller]:
    """May add to a project of its own, and sees no other."""
    with running.client(running.key("submitter", ["strangers"])[1]) as http:
        yield Caller(http, running.census)


@pytest.fixture(scope="session")
def nobody(running: Serving) -> Iterator[Caller]:
    """Has no key."""
    with running.client() as http:
        yield Caller(http, running.census)


@pytest.fixture(scope="session")
def pushed(api: Caller) -> Pushed:
    return push(api, MLP, "http")


@pytest.fixture
def job(api: Caller, pushed: Pushed) -> str:
    """A queued job that nobody works on."""
    made = api.create(
        "/v1/jobs",
        {
            "kind": "interpolation",
            "origin": pushed.final,
            "target": pushed.first,
            "alpha": {"min": 0, "max": 1, "num": 3},
            "datasets": [pushed.dataset],
            "force": True,
        },
    )
    return str(made["id"])
