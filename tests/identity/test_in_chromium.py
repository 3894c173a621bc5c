"""Signing in as a person does: a real browser with its own mind about cookies and origins."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import SecretStr

from service.domain.rights import RightsRule
from service.settings import Settings
from tests.support.browser import Browser, BrowserPage, browsing
from tests.support.provider import CLIENT, SECRET, IdentityProvider, identity_provider
from tests.support.serving import Serving, serving

#: Not this machine's own name, and so without what browsers allow loopback alone.
NAMED = "http://atlas.example"


@pytest.fixture(scope="module")
def provider() -> Iterator[IdentityProvider]:
    with identity_provider() as one:
        one.person = {"sub": "ada", "name": "Ada", "groups": ["ml"]}
        yield one


@pytest.fixture(scope="module")
def running(settings: Settings, provider: IdentityProvider) -> Iterator[Serving]:
    change = {
        "oidc_issuer": provider.issuer,
        "oidc_client_id": CLIENT,
        "oidc_client_secret": SecretStr(SECRET),
        "oidc_rights": (RightsRule(claim="groups", value="ml", role="reader"),),
        "oidc_loopback": True,
        "public_url": NAMED,
    }
    with serving(settings.model_copy(update=change)) as api:
        yield api


@pytest.fixture(scope="module")
def chromium(running: Serving) -> Iterator[Browser]:
    rule = f"MAP atlas.example:80 127.0.0.1:{running.port}"
    with browsing(f"--host-resolver-rules={rule}") as one:
        yield one


def act(chromium: Browser, page: BrowserPage, script: str) -> None:
    """Runs a script that leads to another page, and waits for that."""
    chromium.events.clear()
    page.evaluate(script)
    chromium.wait_for("Page.loadEventFired", page._session)


def text(page: BrowserPage) -> str:
    return str(page.evaluate("document.body.innerText"))


def sign_in(chromium: Browser, page: BrowserPage, url: str, key: str) -> None:
    page.open(f"{url}/sign-in?next=/v1/keys/me")
    page.evaluate(f"document.querySelector('[name=key]').value = '{key}'")
    act(chromium, page, "document.querySelector('form[action=\"/sign-in\"] button').click()")


@pytest.mark.parametrize("named", [False, True])
def test_with_a_key(
    running: Serving, chromium: Browser, provider: IdentityProvider, named: bool
) -> None:
    url = NAMED if named else running.url
    key, secret = running.key("admin", name="a person")
    page = chromium.page()
    page.open(f"{url}/landscapes/lsc_{'0' * 26}")
    assert page.evaluate("location.pathname") == "/sign-in"
    sign_in(chromium, page, url, "la_wrong")
    assert "unknown, expired or revoked" in text(page)
    sign_in(chromium, page, url, secret)
    assert page.evaluate("location.pathname") == "/v1/keys/me"
    assert key.id in text(page)
    assert page.evaluate("document.cookie") == "", "scripts see the session"
    cookies: list[dict[str, Any]] = page.call("Network.getCookies", urls=[url])["cookies"]
    (cookie,) = [one for one in cookies if one["name"] == "lossatlas"]
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Lax")

    # a page of another origin, which the person opens while signed in: of another site for the
    # named address, which then gets no cookie, and of the same site, other port, for loopback
    before = running.census()
    attack = f"<form method=post action='{url}/sign-out'><button>a prize</button></form>"
    provider.broken["/attack"] = (200, {"Content-Type": "text/html"}, attack.encode())
    page.open(f"{provider.issuer}/attack")
    act(chromium, page, "document.querySelector('button').click()")
    if named:
        assert page.evaluate("location.href") == f"{url}/sign-in"
    else:
        assert "cross_site_refused" in text(page)
    page.open(f"{url}/v1/keys/me")
    assert key.id in text(page), "another site signed the person out"
    assert running.census()["sessions"] == before["sessions"]
    page.call("Network.clearBrowserCookies")


def test_with_the_organisations_provider(running: Serving, chromium: Browser) -> None:
    page = chromium.page()
    page.open(f"{NAMED}/sign-in?next=/v1/keys/me")
    act(chromium, page, "document.querySelector('a[href^=\"/sign-in/oidc\"]').click()")
    assert page.evaluate("location.href") == f"{NAMED}/v1/keys/me"
    assert '"name":"Ada"' in text(page).replace(" ", "")
    assert not page.complaints, page.complaints
