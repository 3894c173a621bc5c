"""What a browser does by itself: keeps cookies, and says where a request comes from."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import httpx2

from tests.support.serving import Serving


class Browser:
    """One person's browser, without scripts."""

    def __init__(self, http: httpx2.Client, url: str) -> None:
        self.http = http
        self.url = url

    def open(self, path: str) -> httpx2.Response:
        return self.http.get(path, headers={"Accept": "text/html,*/*;q=0.8"})

    def send(
        self,
        path: str,
        fields: Mapping[str, str],
        *,
        headers: Mapping[str, str] | None = None,
        origin: str | None = None,
    ) -> httpx2.Response:
        """A form, from a page of this service unless `origin` says otherwise."""
        return self.http.post(
            path,
            data=dict(fields),
            headers={
                "Accept": "text/html",
                "Origin": self.url if origin is None else origin,
                **(headers or {}),
            },
        )

    def sign_in(self, key: str, to: str = "/docs") -> httpx2.Response:
        return self.send("/sign-in", {"key": key, "next": to})

    def cookie(self, name: str = "lossatlas") -> str:
        value = self.http.cookies.get(name)
        assert value is not None
        return value


@contextmanager
def browser(running: Serving) -> Iterator[Browser]:
    with running.client() as http:
        yield Browser(http, running.url)


def hidden(html: str, name: str) -> str:
    """The value of a form's hidden field."""
    found = re.search(rf'name="{name}" value="([^"]*)"', html)
    assert found is not None, html
    return found.group(1)
