"""People of an organisation's identity provider: the flow from click to session, and forgeries."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from pydantic import SecretStr, ValidationError

from service.domain.rights import RightsRule, rights_of
from service.ledger.sqltext import rows, run
from service.sessions.organisation import Attempt
from service.settings import Settings
from tests.features.caller import problem
from tests.identity.browser import Browser, browser
from tests.support.ledger import audit_of
from tests.support.provider import CLIENT, SECRET, IdentityProvider, identity_provider
from tests.support.serving import Serving, serving

RULES = (
    RightsRule(claim="groups", value="atlas-admins", role="admin"),
    RightsRule(claim="groups", value="ml", role="submitter", projects=("vision", "speech")),
    RightsRule(claim="realm_access.roles", value="viewer", role="reader", projects=("vision",)),
    RightsRule(claim="email", value="guest@example.org", role="reader", projects=("demo",)),
)


@pytest.fixture(scope="module")
def provider() -> Iterator[IdentityProvider]:
    with identity_provider() as one:
        yield one


@pytest.fixture(scope="module")
def running(settings: Settings, provider: IdentityProvider) -> Iterator[Serving]:
    change = {
        "oidc_issuer": provider.issuer,
        "oidc_client_id": CLIENT,
        "oidc_client_secret": SecretStr(SECRET),
        "oidc_rights": RULES,
        "oidc_loopback": True,
        "public_url": "http://atlas.example",
        "sign_ins_per_minute": 0,
    }
    with serving(settings.model_copy(update=change)) as api:
        yield api


def back(one: Browser, address: str) -> httpx2.Response:
    """The provider sends the browser back; the service's public name is not one of this machine."""
    parts = urlsplit(address)
    assert f"{parts.scheme}://{parts.netloc}" == "http://atlas.example"
    return one.open(f"{parts.path}?{parts.query}")


def at_provider(one: Browser, to: str = "/docs") -> str:
    """Clicks the button; the address at the provider."""
    page = one.open(f"/sign-in?next={to}")
    assert "/sign-in/oidc?next=" in page.text
    sent = one.http.get("/sign-in/oidc", params={"next": to})
    assert sent.status_code == 303, sent.text
    return sent.headers["location"]


def through(one: Browser, to: str = "/docs") -> httpx2.Response:
    """The whole way; the answer to the provider's redirect."""
    agreed = httpx2.get(at_provider(one, to), follow_redirects=False)
    return back(one, agreed.headers["location"])


def signed_in(provider: IdentityProvider, one: Browser, **person: Any) -> dict[str, Any]:
    provider.person = person
    answer = through(one)
    assert (answer.status_code, answer.headers["location"]) == (303, "/docs")
    found: dict[str, Any] = one.open("/v1/keys/me").json()
    return found


def test_from_the_click_to_the_session(running: Serving, provider: IdentityProvider) -> None:
    provider.person = {
        "sub": "u-1",
        "name": "Ada <b>",
        "email": "ada@example.org",
        "groups": ["ml", "x"],
    }
    with browser(running) as one:
        address = at_provider(one, "/landscapes?kind=surface")
        asked = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
        assert asked["response_type"] == "code"
        assert asked["code_challenge_method"] == "S256"
        assert asked["redirect_uri"] == "http://atlas.example/sign-in/oidc/callback"
        assert len(asked["state"]) >= 43
        answer = back(one, httpx2.get(address).headers["location"])
        assert answer.headers["location"] == "/landscapes?kind=surface"
        assert "lossatlas-signing-in" not in one.http.cookies
        me = one.open("/v1/keys/me").json()
        assert (me["name"], me["role"], me["projects"]) == (
            "Ada <b>",
            "submitter",
            ["speech", "vision"],
        )
    with running.services.database.transaction() as session:
        (person,) = rows(session, "SELECT * FROM people WHERE subject = 'u-1'")
        told = audit_of(session, person["id"])
    assert (person["name"], person["email"]) == ("Ada <b>", "ada@example.org")
    assert [entry.action for entry in told] == ["person.created", "person.signed_in"]
    assert {entry.key_id for entry in told} == {me["id"]}


def test_rights_are_those_of_the_last_sign_in(running: Serving, provider: IdentityProvider) -> None:
    with browser(running) as old, browser(running) as new:
        first = signed_in(provider, old, sub="u-2", name="Eve", groups=["atlas-admins"])
        assert (first["role"], first["projects"]) == ("admin", None)
        second = signed_in(
            provider, new, sub="u-2", name="Eve N.", realm_access={"roles": ["viewer"]}
        )
        assert second["id"] == first["id"]
        assert (second["name"], second["role"], second["projects"]) == (
            "Eve N.",
            "reader",
            ["vision"],
        )
        # the older session is no way around it
        assert old.open("/v1/keys/me").json()["role"] == "reader"
        # and without any right there is no session left
        provider.person = {"sub": "u-2", "groups": []}
        refused = through(new)
        assert refused.headers["location"] == "/sign-in?wrong=rights&next=/docs"
        assert "gives you access" in new.open(refused.headers["location"]).text
        problem(old.open("/v1/keys/me"), 401, "unauthenticated")
        problem(new.open("/v1/keys/me"), 401, "unauthenticated")


def test_whom_an_administrator_shut_out_stays_out(
    running: Serving, provider: IdentityProvider
) -> None:
    with browser(running) as one:
        me = signed_in(provider, one, sub="u-3", groups=["ml"])
        with running.client(running.key("admin")[1]) as admin:
            assert admin.delete(f"/v1/keys/{me['id']}").status_code == 200
        problem(one.open("/v1/keys/me"), 401, "unauthenticated")
        assert through(one).headers["location"] == "/sign-in?wrong=rights&next=/docs"


def test_somebody_whom_no_rule_fits_leaves_no_trace(
    running: Serving, provider: IdentityProvider
) -> None:
    before = running.census()
    for person in (
        {"sub": "u-4"},
        {"sub": "u-4", "groups": "atlas-admins-not"},
        {"sub": "u-4", "email": "guest@example.org"},
        {"sub": "u-4", "email": "guest@example.org", "email_verified": "true"},
        {"sub": "u-4", "groups": {"atlas-admins": True}},
    ):
        with browser(running) as one:
            provider.person = person
            assert "wrong=rights" in through(one).headers["location"]
    assert running.census() == before


@pytest.mark.parametrize(
    "forged",
    [
        {"nonce": "another"},
        {"nonce": None},
        {"aud": "another"},
        {"aud": [CLIENT, "another"]},
        {"azp": "another"},
        {"iss": "https://another.example"},
        {"exp": 1},
        {"iat": int(time.time()) + 3600},
        {"sub": ""},
        {"sub": 5},
        {"sub": "x" * 300},
        {"sub": "\ud800"},
    ],
)
def test_tokens_that_are_not_for_this_sign_in(
    running: Serving, provider: IdentityProvider, forged: dict[str, Any]
) -> None:
    before = running.census()
    provider.person = {"sub": "u-5", "groups": ["ml"], **forged}
    with browser(running) as one:
        assert through(one).headers["location"] == "/sign-in?wrong=provider&next=/docs"
        problem(one.open("/v1/keys/me"), 401, "unauthenticated")
    assert running.census() == before


def test_answers_that_nobody_asked_for(running: Serving, provider: IdentityProvider) -> None:
    """Another's code, a used one, another's state, none at all: nobody is signed in by them."""
    provider.person = {"sub": "u-6", "groups": ["ml"]}
    with browser(running) as attacker, browser(running) as victim:
        planted = httpx2.get(at_provider(attacker)).headers["location"]
        # login CSRF: the attacker's answer in the victim's browser
        assert back(victim, planted).headers["location"] == "/sign-in?wrong=started"
        mine = at_provider(victim)
        assert back(victim, planted).headers["location"] == "/sign-in?wrong=started"
        # the attacker's code with the victim's state: PKCE ties codes to browsers
        code = parse_qs(urlsplit(planted).query)["code"][0]
        state = parse_qs(urlsplit(mine).query)["state"][0]
        mixed = victim.http.get("/sign-in/oidc/callback", params={"code": code, "state": state})
        assert "wrong=" in mixed.headers["location"]
        problem(victim.open("/v1/keys/me"), 401, "unauthenticated")
        # an answer is good for once
        answer = httpx2.get(at_provider(victim)).headers["location"]
        assert back(victim, answer).headers["location"] == "/docs"
        assert back(victim, answer).headers["location"] == "/sign-in?wrong=started"
        for query in ({}, {"state": ""}, {"state": state, "code": ""}, {"code": "x"}):
            sent = victim.http.get("/sign-in/oidc/callback", params=query)
            assert sent.headers["location"] == "/sign-in?wrong=started"
        odd = Attempt("\ud800", "n", "v", "/").packed()
        for value in ("", "x", "e30", "bnVsbA", "W10", "%00", odd):
            sent = victim.http.get(
                "/sign-in/oidc/callback?state=&code=x",
                headers={"Cookie": f"lossatlas-signing-in={value}"},
            )
            assert sent.headers["location"] == "/sign-in?wrong=started"


def test_what_the_provider_refuses(running: Serving, provider: IdentityProvider) -> None:
    with browser(running) as one:
        address = at_provider(one)
        state = parse_qs(urlsplit(address).query)["state"][0]
        denied = one.http.get(
            "/sign-in/oidc/callback", params={"error": "access_denied", "state": state}
        )
        assert denied.headers["location"] == "/sign-in?wrong=provider&next=/docs"
        other = httpx2.get(at_provider(one)).headers["location"]
        mixed = other.partition("&iss=")[0] + "&iss=https%3A%2F%2Fother.example"
        assert back(one, mixed).headers["location"] == "/sign-in?wrong=provider&next=/docs"


def test_a_provider_that_is_away(running: Serving, provider: IdentityProvider) -> None:
    with browser(running) as one:
        agreed = httpx2.get(at_provider(one)).headers["location"]
        provider.broken["/token"] = (503, {}, b"")
        assert back(one, agreed).headers["location"] == "/sign-in?wrong=away&next=/docs"
        provider.broken.clear()


def test_where_it_is_not_set_up(settings: Settings) -> None:
    with serving(settings) as api, browser(api) as one:
        assert "oidc" not in one.open("/sign-in").text
        problem(one.open("/sign-in/oidc"), 404, "not_found")
        attempt = Attempt.new("/")
        answer = one.http.get(
            "/sign-in/oidc/callback",
            params={"code": "x", "state": attempt.state},
            headers={"Cookie": f"lossatlas-signing-in={attempt.packed()}"},
        )
        problem(answer, 404, "not_found")


def test_a_persons_key_opens_nothing_by_itself(
    running: Serving, provider: IdentityProvider
) -> None:
    """It has no secret: nothing that could be sent has the hash that is stored."""
    with browser(running) as one:
        me = signed_in(provider, one, sub="u-7", groups=["ml"])
    body = me["id"].removeprefix("key_")
    with running.services.database.transaction() as session:
        (row,) = rows(session, "SELECT secret_hash FROM api_keys WHERE id = :id", id=me["id"])
    for secret in ("", row["secret_hash"].hex(), "A" * 43):
        with running.client(f"la_{body}_{secret}") as http:
            problem(http.get("/v1/keys/me"), 401, "unauthenticated")


def test_a_session_is_bound_to_its_longest_time(
    running: Serving, provider: IdentityProvider
) -> None:
    with browser(running) as one:
        me = signed_in(provider, one, sub="u-8", groups=["ml"])
        with running.services.database.transaction() as session:
            run(
                session,
                "UPDATE sessions SET idle_until = now(), expires_at = now() WHERE key_id = :key",
                key=me["id"],
            )
        problem(one.open("/v1/keys/me"), 401, "unauthenticated")


def test_the_first_rule_that_fits_decides() -> None:
    both = {"groups": ["ml", "atlas-admins"]}
    assert rights_of(RULES, both) is RULES[0]
    assert rights_of(RULES, {"groups": "ml"}) is RULES[1]
    assert rights_of(RULES, {"realm_access.roles": "viewer"}) is RULES[2]
    assert rights_of(RULES, {"realm_access": "viewer"}) is None
    verified = {"email": "guest@example.org", "email_verified": True}
    assert rights_of(RULES, verified) is RULES[3]
    everybody = RightsRule(role="reader")
    assert rights_of([everybody], {}) is everybody


@pytest.mark.parametrize(
    "rule",
    [
        {"role": "admin", "projects": ["a"]},
        {"role": "reader", "can_promote": True},
        {"role": "reader", "claim": "groups"},
        {"role": "reader", "value": "x"},
        {"role": "owner"},
        {"role": "reader", "projects": []},
        {"role": "reader", "projects": ["Not One"]},
    ],
)
def test_rules_that_cannot_be(rule: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        RightsRule.model_validate(rule)


def test_settings_are_whole_or_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOSSATLAS_OIDC_ISSUER", "https://login.example.org/realms/lab")
    with pytest.raises(ValidationError, match="LOSSATLAS_OIDC_CLIENT_ID"):
        Settings()
    monkeypatch.setenv("LOSSATLAS_OIDC_CLIENT_ID", "lossatlas")
    monkeypatch.setenv("LOSSATLAS_PUBLIC_URL", "https://atlas.example.org")
    monkeypatch.setenv(
        "LOSSATLAS_OIDC_RIGHTS",
        '[{"claim": "groups", "value": "ml", "role": "submitter", "projects": ["vision"]}]',
    )
    read = Settings()
    assert read.is_https
    assert read.oidc_rights[0].projects == ("vision",)
    monkeypatch.setenv("LOSSATLAS_OIDC_ISSUER", "http://login.example.org")
    with pytest.raises(ValidationError, match="https"):
        Settings()
    monkeypatch.setenv("LOSSATLAS_PUBLIC_URL", "https://atlas.example.org/sub")
    with pytest.raises(ValidationError, match="public_url"):
        Settings()
