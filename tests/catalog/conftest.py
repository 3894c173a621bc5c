"""One API with a few landscapes for the tests of one file, and one browser that has signed in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.settings import Settings
from tests.catalog.atlas import Atlas, build
from tests.catalog.visitor import Visitor
from tests.features.caller import Caller
from tests.support.browser import Browser, browsing
from tests.support.servers import Servers, settings_factory
from tests.support.serving import Serving, serving

#: Kept when the tests are over; git does not.
ARTIFACTS = Path(__file__).parents[1] / "artifacts" / "catalog"


@pytest.fixture(scope="module")
def settings(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A database of this file's own: its tests count what pages list, whatever ran before them."""
    with settings_factory(servers, tmp_path_factory.mktemp("catalog")) as make:
        yield make()


@pytest.fixture(scope="module")
def running(settings: Settings) -> Iterator[Serving]:
    with serving(settings) as api:
        yield api


@pytest.fixture(scope="module")
def api(running: Serving) -> Iterator[Caller]:
    with running.client(running.key("submitter", name="Ada")[1]) as http:
        yield Caller(http, running.census)


@pytest.fixture(scope="module")
def reader(running: Serving) -> Iterator[Caller]:
    with running.client(running.key("reader", name="Rea")[1]) as http:
        yield Caller(http, running.census)


@pytest.fixture(scope="module")
def stranger(running: Serving) -> Iterator[Caller]:
    """Sees one project, and not the one with the landscapes."""
    with running.client(running.key("submitter", ["elsewhere"], "Stranger")[1]) as http:
        yield Caller(http, running.census)


@pytest.fixture(scope="module")
def atlas(running: Serving, api: Caller) -> Atlas:
    return build(running, api)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing() as started:
        yield started


@pytest.fixture(scope="module")
def visitor(running: Serving, browser: Browser, atlas: Atlas) -> Visitor:
    """An administrator who has signed in."""
    ARTIFACTS.mkdir(parents=True, exist_ok=True)
    one = Visitor(browser, browser.page(), running.url, ARTIFACTS)
    one.resize(1280, 900)
    one.sign_in(running.key("admin", name="Grace")[1])
    return one


@pytest.fixture(autouse=True)
def as_it_was(request: pytest.FixtureRequest) -> Iterator[None]:
    """The next test finds the browser wide, light and with scripts."""
    yield
    if "visitor" in request.fixturenames:
        visitor: Visitor = request.getfixturevalue("visitor")
        visitor.page.scripts(True)
        visitor.resize(1280, 900)
        visitor.page.prefer("light")
