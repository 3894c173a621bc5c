"""Signing in with a key: a session acts for it, ends for good, and serves no other site."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest
from starlette.datastructures import Headers

from service.http.authentication import SignedIn
from service.http.cookies import session_cookie
from service.http.crosssite import same_origin
from service.http.limits import RateLimit
from service.http.redirects import local
from service.ledger.sqltext import rows, run
from service.settings import Settings
from tests.features.caller import Caller, problem
from tests.identity.browser import Browser, browser, hidden
from tests.support.ledger import audit_of
from tests.support.serving import Serving, serving

NEW_KEY = {"name": "made in a browser", "role": "reader"}


@pytest.fixture
def person(running: Serving) -> Iterator[Browser]:
    """Signed in as an administrator."""
    with browser(running) as one:
        answer = one.sign_in(running.key("admin")[1])
        assert answer.status_code == 303, answer.text
        yield one


def token_of(person: Browser) -> str:
    return SignedIn.of("", person.cookie()).csrf_token


def test_from_the_page_to_the_way_out(running: Serving) -> None:
    key, secret = running.key("reader")
    with browser(running) as one:
        sent = one.open("/landscapes?kind=surface&text=a%20b")
        assert sent.status_code == 303
        page = one.open(sent.headers["location"])
        assert page.status_code == 200
        assert "form-action 'self'" in page.headers["content-security-policy"]
        assert page.headers["referrer-policy"] == "same-origin"
        to = hidden(page.text, "next").replace("&amp;", "&")
        assert to == "/landscapes?kind=surface&text=a%20b"
        signed = one.sign_in(secret, to)
        assert (signed.status_code, signed.headers["location"]) == (303, to)
        said = signed.headers["set-cookie"].lower()
        assert "httponly" in said
        assert "samesite=lax" in said
        assert "path=/" in said
        assert "domain" not in said
        assert one.open("/v1/keys/me").json()["id"] == key.id
        problem(one.http.get("/v1/keys"), 403, "forbidden")

        # a copy of the cookie is worth nothing once its owner has signed out
        copy = one.cookie()
        out = one.send("/sign-out", {"csrf_token": token_of(one)})
        assert (out.status_code, out.headers["location"]) == (303, "/sign-in")
        assert "lossatlas" not in one.http.cookies
        with running.client() as thief:
            thief.cookies.set("lossatlas", copy)
            problem(thief.get("/v1/keys/me"), 401, "unauthenticated")
        assert one.open("/landscapes").headers["location"] == "/sign-in?next=/landscapes"


def test_the_secret_is_stored_nowhere_and_signing_in_and_out_is_on_record(
    running: Serving, person: Browser
) -> None:
    me = person.open("/v1/keys/me").json()["id"]
    with running.services.database.transaction() as session:
        (row,) = rows(session, "SELECT * FROM sessions WHERE key_id = :key", key=me)
        assert bytes(row["secret_hash"]) == hashlib.sha256(person.cookie().encode()).digest()
        assert person.cookie() not in str(row)
    person.send("/sign-out", {"csrf_token": token_of(person)})
    with running.services.database.transaction() as session:
        told = audit_of(session, row["id"])
    assert [entry.action for entry in told] == ["session.opened", "session.ended"]
    assert {entry.key_id for entry in told} == {me}


@pytest.mark.parametrize("key", ["", "wrong", "la_" + "0" * 26 + "_" + "A" * 43, "\x00", "é" * 50])
def test_keys_that_are_none_open_nothing(running: Serving, nobody: Caller, key: str) -> None:
    with nobody.nothing_changes(), browser(running) as one:
        answer = one.sign_in(key, "/docs")
        assert answer.headers["location"] == "/sign-in?wrong=key&next=/docs"
        assert "set-cookie" not in answer.headers
        assert "unknown, expired or revoked" in one.open(answer.headers["location"]).text
        plain = one.http.post("/sign-in", data={"key": key})
        problem(plain, 401, "unauthenticated")


def test_a_session_that_somebody_planted_is_not_taken_over(running: Serving) -> None:
    with browser(running) as victim, browser(running) as attacker:
        attacker.sign_in(running.key("reader")[1])
        planted = attacker.cookie()
        victim.http.cookies.set("lossatlas", planted)
        victim.sign_in(running.key("admin")[1])
        values = {cookie.value for cookie in victim.http.cookies.jar}
        assert values - {planted}
        problem(attacker.open("/v1/keys/me"), 401, "unauthenticated")


def test_it_ends_with_its_key_with_time_and_without_use(running: Serving) -> None:
    def after(change: str) -> None:
        key, secret = running.key("reader")
        with browser(running) as one:
            one.sign_in(secret)
            assert one.open("/v1/keys/me").status_code == 200
            with running.services.database.transaction() as session:
                run(session, change, key=key.id)
            problem(one.open("/v1/keys/me"), 401, "unauthenticated")

    after("UPDATE api_keys SET revoked_at = now() WHERE id = :key")
    after("UPDATE api_keys SET expires_at = now() WHERE id = :key")
    after("UPDATE sessions SET idle_until = now() WHERE key_id = :key")
    after("UPDATE sessions SET idle_until = now(), expires_at = now() WHERE key_id = :key")


def test_use_puts_off_the_end_but_not_beyond_the_longest(running: Serving, person: Browser) -> None:
    me = person.open("/v1/keys/me").json()["id"]
    with running.services.database.transaction() as session:
        run(
            session,
            "UPDATE sessions SET last_seen_at = now() - interval '2 minutes',"
            " idle_until = now() + interval '1 minute', expires_at = now() + interval '1 hour'"
            " WHERE key_id = :key",
            key=me,
        )
    assert person.open("/v1/keys/me").status_code == 200
    with running.services.database.transaction() as session:
        (row,) = rows(session, "SELECT * FROM sessions WHERE key_id = :key", key=me)
    assert row["idle_until"] == row["expires_at"]


def test_a_change_needs_the_sessions_token(running: Serving, person: Browser) -> None:
    """By field or header; missing, wrong and another session's are refused."""
    with browser(running) as other:
        other.sign_in(running.key("admin")[1])
        foreign = token_of(other)
    headers = {"Origin": running.url}
    with Caller(person.http, running.census).nothing_changes():
        for wrong in ({}, {"X-CSRF-Token": ""}, {"X-CSRF-Token": foreign}, {"X-CSRF-Token": "é"}):
            sent = [(k.encode(), v.encode("latin-1")) for k, v in {**headers, **wrong}.items()]
            problem(
                person.http.post("/v1/keys", json=NEW_KEY, headers=sent),
                403,
                "cross_site_refused",
            )
        for method in ("PUT", "PATCH", "DELETE", "POST"):
            problem(
                person.http.request(method, "/v1/models", headers=headers),
                403,
                "cross_site_refused",
            )
        for field in ({}, {"csrf_token": foreign}, {"csrf_token": ""}):
            problem(person.send("/sign-out", field), 403, "cross_site_refused")
        twice = person.http.post(
            "/sign-out",
            content=f"csrf_token=x&csrf_token={token_of(person)}",
            headers={**headers, "Content-Type": "application/x-www-form-urlencoded"},
        )
        assert twice.status_code == 422
    made = person.http.post(
        "/v1/keys", json=NEW_KEY, headers={**headers, "X-CSRF-Token": token_of(person)}
    )
    assert made.status_code == 201, made.text


def test_other_sites_change_nothing_even_with_the_token(running: Serving, person: Browser) -> None:
    right = {"X-CSRF-Token": token_of(person)}
    with Caller(person.http, running.census).nothing_changes():
        for origin in ("https://evil.example", "null", "http://127.0.0.1.evil.example", "http://["):
            problem(
                person.http.post("/v1/keys", json=NEW_KEY, headers={**right, "Origin": origin}),
                403,
                "cross_site_refused",
            )
        for site in ("cross-site", "same-site", "none"):
            problem(
                person.http.post(
                    "/v1/keys",
                    json=NEW_KEY,
                    headers={**right, "Origin": running.url, "Sec-Fetch-Site": site},
                ),
                403,
                "cross_site_refused",
            )


def test_other_sites_sign_nobody_in(running: Serving, nobody: Caller) -> None:
    _, secret = running.key("reader")
    with nobody.nothing_changes(), browser(running) as one:
        for headers in ({}, {"Sec-Fetch-Site": "cross-site"}):
            answer = one.send(
                "/sign-in", {"key": secret}, origin="https://evil.example", headers=headers
            )
            problem(answer, 403, "cross_site_refused")


def test_a_key_needs_no_token_and_comes_before_the_cookie(
    running: Serving, person: Browser
) -> None:
    _, secret = running.key("admin", name="sent")
    by_key = {"Authorization": f"Bearer {secret}", "Origin": "https://notebook.example"}
    assert person.http.get("/v1/keys/me", headers=by_key).json()["name"] == "sent"
    made = person.http.post("/v1/keys", json=NEW_KEY, headers=by_key)
    assert made.status_code == 201, made.text
    wrong = {"Authorization": "Bearer la_wrong"}
    problem(person.http.get("/v1/keys/me", headers=wrong), 401, "unauthenticated")


@pytest.mark.parametrize("value", ["", "x", "a" * 5000, '"quoted"', "=;=", "%00"])
def test_cookies_that_are_none(running: Serving, value: str) -> None:
    with running.client() as http:
        sent = http.get("/v1/keys/me", headers={"Cookie": f"lossatlas={value}"})
        problem(sent, 401, "unauthenticated")


def test_pages_send_people_to_sign_in_and_the_api_does_not(running: Serving) -> None:
    with browser(running) as one:
        problem(one.open("/v1/landscapes"), 401, "unauthenticated")
        problem(one.http.get("/landscapes"), 401, "unauthenticated")
        changed = one.send("/landscapes/x/tags", {"tag": "a"})
        assert (changed.status_code, changed.headers["location"]) == (303, "/sign-in")
        sent = one.open("/a%0d%0aX?b=c")
        assert sent.headers["location"] == "/sign-in?next=/a%250d%250aX%3Fb%3Dc"


@pytest.mark.parametrize(
    "target",
    [
        "//evil.example",
        "///evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "https://evil.example/",
        "javascript:alert(1)",
        "/\t/evil.example",
        "\t//evil.example",
        "/\r\nSet-Cookie: a=b",
        "evil.example",
        "",
        "/" + "a" * 3000,
        "/sign-in?next=/sign-in",
        "/sign-out",
        "//[",
        "/é",
    ],
)
def test_addresses_that_lead_elsewhere(running: Serving, target: str) -> None:
    assert local(target) == "/"
    with browser(running) as one:
        answer = one.sign_in(running.key("reader")[1], target)
        assert answer.headers["location"] == "/"
        assert hidden(one.http.get("/sign-in", params={"next": target}).text, "next") == "/"


@pytest.mark.parametrize("target", ["/", "/landscapes/lsc_1?view=a&b=%2F%2Fx#top", "/a//b", "/@x"])
def test_addresses_within(target: str) -> None:
    assert local(target) == target


def test_the_page_escapes_what_it_is_given(running: Serving) -> None:
    with browser(running) as one:
        page = one.http.get("/sign-in", params={"next": "/'\"><script>", "wrong": "<script>"})
        assert "<script" not in page.text


@pytest.mark.parametrize(
    ("headers", "fine"),
    [
        ({}, True),
        ({"origin": "http://host:1"}, True),
        ({"origin": "https://public.example"}, True),
        ({"origin": "https://public.example.evil.example"}, False),
        ({"origin": "http://host:2"}, False),
        ({"origin": "null"}, False),
        ({"origin": "null", "sec-fetch-site": "same-origin"}, True),
        ({"origin": "http://host:1", "sec-fetch-site": "cross-site"}, False),
        ({"sec-fetch-site": "none"}, False),
        ({"sec-fetch-site": "same-site"}, False),
    ],
)
def test_where_a_request_comes_from(headers: dict[str, str], fine: bool) -> None:
    given = Headers({"host": "host:1", **headers})
    assert same_origin(given, "https://public.example") is fine


def test_over_https_the_cookie_is_this_hosts_alone(settings: Settings) -> None:
    secure = settings.model_copy(update={"public_url": "https://atlas.example"})
    with serving(secure) as running, running.client() as http:
        _, secret = running.key("reader")
        answer = http.post(
            "/sign-in", data={"key": secret}, headers={"Origin": "https://atlas.example"}
        )
        said = answer.headers["set-cookie"]
        assert said.startswith("__Host-lossatlas=")
        assert "; Secure" in said
        value = said.partition(";")[0].partition("=")[2]
        assert session_cookie(secure=True).read(f"__Host-lossatlas={value}") == value
        plain = http.get("/v1/keys/me", headers={"Cookie": f"lossatlas={value}"})
        problem(plain, 401, "unauthenticated")
        found = http.get("/v1/keys/me", headers={"Cookie": f"__Host-lossatlas={value}"})
        assert found.status_code == 200


def test_an_address_has_few_tries(settings: Settings) -> None:
    strict = settings.model_copy(update={"sign_ins_per_minute": 3})
    with serving(strict) as running, browser(running) as one:
        for _ in range(3):
            assert one.sign_in("wrong").status_code == 303
        told = problem(one.sign_in("wrong"), 429, "rate_limited")
        assert "this address" in told["detail"]
        # whoever has a key is let in, whatever others behind the same address guess
        signed_in = one.sign_in(running.key("reader")[1])
        assert signed_in.status_code == 303
        assert "set-cookie" in signed_in.headers
        problem(one.sign_in("wrong"), 429, "rate_limited")
        assert one.open("/sign-in").status_code == 200
        assert one.http.get("/livez").status_code == 200


def test_keys_and_sessions_that_are_guessed_are_counted(settings: Settings) -> None:
    strict = settings.model_copy(update={"wrong_keys_per_minute": 3})
    guesses = (
        {"Authorization": "Bearer la_wrong"},
        {"Cookie": f"lossatlas={'A' * 43}"},
        {"Authorization": f"Bearer la_{'0' * 26}_{'A' * 43}"},
    )
    with serving(strict) as running, running.client() as http:
        for guess in guesses:
            problem(http.get("/v1/models", headers=guess), 401, "unauthenticated")
        for guess in guesses:
            told = http.get("/v1/models", headers=guess)
            problem(told, 429, "rate_limited")
            assert int(told.headers["Retry-After"]) >= 1
        with running.client(running.key("reader")[1]) as right:
            assert right.get("/v1/models").status_code == 200


def test_each_caller_behind_a_trusted_proxy_has_tries(settings: Settings) -> None:
    """What a caller itself writes into the field counts for nothing."""
    strict = {"sign_ins_per_minute": 2, "trusted_proxies": ("127.0.0.0/8", "10.0.0.0/8")}
    with serving(settings.model_copy(update=strict)) as running, running.client() as http:

        def guess(forwarded: str) -> int:
            sent = {"X-Forwarded-For": forwarded}
            return http.post("/sign-in", data={"key": "wrong"}, headers=sent).status_code

        assert [guess("192.0.2.1") for _ in range(3)] == [401, 401, 429]
        assert [guess(f"203.0.113.{n}, 192.0.2.1, 10.1.1.1") for n in range(3)] == [429] * 3
        assert [guess("192.0.2.2, 10.1.1.1") for _ in range(3)] == [401, 401, 429]
        # all of a network in IPv6 may be one machine
        assert [guess(f"2001:db8::{n}") for n in range(1, 4)] == [401, 401, 429]
    with serving(settings.model_copy(update={"sign_ins_per_minute": 2})) as running:  # noqa: SIM117
        with running.client() as http:
            assert [guess(f"192.0.2.{n}") for n in range(3)] == [401, 401, 429]


def test_addresses_without_number_take_bounded_memory() -> None:
    now = [0.0]
    limit = RateLimit(1, clock=lambda: now[0])
    for number in range(50_000):
        now[0] += 0.01
        limit.take(str(number))
    assert len(limit._buckets) <= 20_001
