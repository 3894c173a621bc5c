"""One browser for all tests of pages."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.browser import Browser, BrowserPage, browsing


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing() as started:
        yield started


@pytest.fixture
def page(browser: Browser) -> BrowserPage:
    made = browser.page()
    made.resize(1000, 900)
    made.prefer("light")
    return made
