"""The API over real servers, and callers with different keys."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from service.http.services import Services
from service.ledger.records import Role
from service.settings import Settings
from tests.features.caller import Caller
from tests.features.pushed import Pushed, push
from tests.features.reference import CONVNET, MLP, read
from tests.support.serving import Serving, serving


@pytest.fixture(scope="session")
def running(settings: Settings) -> Iterator[Serving]:
    with serving(settings) as api:
        yield api


@pytest.fixture(scope="session")
def services(running: Serving) -> Services:
    """The API's own connections: for what a worker would do."""
    return running.services


@pytest.fixture(scope="session")
def callers(running: Serving) -> Iterator[dict[str, Caller]]:
    kinds: dict[str, tuple[Role, list[str] | None]] = {
        "api": ("submitter", None),
        "colleague": ("submitter", None),
        "reader": ("reader", None),
        "stranger": ("submitter", ["strangers"]),
    }
    with ExitStack() as open_:
        yield {
            name: Caller(
                open_.enter_context(running.client(running.key(role, projects, name)[1])),
                running.census,
            )
            for name, (role, projects) in kinds.items()
        }


@pytest.fixture(scope="session")
def api(callers: dict[str, Caller]) -> Caller:
    """May add to every project."""
    return callers["api"]


@pytest.fixture(scope="session")
def colleague(callers: dict[str, Caller]) -> Caller:
    """May do the same, with another key."""
    return callers["colleague"]


@pytest.fixture(scope="session")
def reader(callers: dict[str, Caller]) -> Caller:
    """May read every project."""
    return callers["reader"]


@pytest.fixture(scope="session")
def stranger(callers: dict[str, Caller]) -> Caller:
    """May add to a project of its own, and sees no other."""
    return callers["stranger"]


@pytest.fixture(scope="session")
def pushed(api: Caller) -> Pushed:
    """A small perceptron."""
    return push(api, MLP, "pushed")


@pytest.fixture(scope="session")
def other(api: Caller) -> Pushed:
    """A network of another shape, in the same project."""
    return push(api, CONVNET, "pushed")


@pytest.fixture(scope="module")
def mlp(api: Caller) -> str:
    """A model without checkpoints."""
    return _model(api, MLP)


@pytest.fixture(scope="module")
def convnet(api: Caller) -> str:
    """A model with batch normalisation, without checkpoints."""
    return _model(api, CONVNET)


def _model(api: Caller, folder: str) -> str:
    program = api.put(read(folder, "program.pt2"))
    made = api.create("/v1/models", {"project": "bare", "name": folder, "program": program})
    return str(made["id"])
