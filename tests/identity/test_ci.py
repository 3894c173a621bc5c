"""Tokens of CI systems: the right one gives a key of an hour, and no other gives anything."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from service.domain.ci import differing, owned
from service.domain.problems import Problem
from service.identity import Provider
from service.identity import provider as provider_module
from service.identity.fetching import unavailable
from service.ledger.sqltext import run
from service.settings import Settings
from tests.features.caller import Caller, problem
from tests.support.ledger import audit_of
from tests.support.provider import IdentityProvider, identity_provider, public, rsa_key
from tests.support.serving import Serving, serving

AUDIENCE = "https://lossatlas.example"
REPOSITORY = {"repository_id": "7654321", "repository_owner_id": "1234567"}


@pytest.fixture(scope="module")
def provider() -> Iterator[IdentityProvider]:
    with identity_provider() as one:
        yield one


@pytest.fixture(scope="module")
def running(settings: Settings) -> Iterator[Serving]:
    change = {"oidc_loopback": True, "sign_ins_per_minute": 0}
    with serving(settings.model_copy(update=change)) as api:
        yield api


@pytest.fixture(scope="module")
def trust(admin: Caller, provider: IdentityProvider) -> dict[str, Any]:
    return admin.create("/v1/identity/trusts", wanted(provider, ref="refs/heads/main"))


def wanted(provider: IdentityProvider, project: str = "vision", **claims: str) -> dict[str, Any]:
    return {
        "issuer": provider.issuer,
        "audience": AUDIENCE,
        "project": project,
        "claims": {**REPOSITORY, **claims},
    }


def github(provider: IdentityProvider, **changes: Any) -> dict[str, Any]:
    """The claims of a job of the trusted repository; None leaves one out."""
    now = int(time.time())
    claims = {
        "iss": provider.issuer,
        "aud": AUDIENCE,
        "sub": "repo:octo/atlas:ref:refs/heads/main",
        "jti": str(uuid.uuid4()),
        "iat": now,
        "nbf": now - 5,
        "exp": now + 300,
        "repository": "octo/atlas",
        "repository_owner": "octo",
        "ref": "refs/heads/main",
        **REPOSITORY,
        **changes,
    }
    return {name: value for name, value in claims.items() if value is not None}


def sent(caller: Caller, token: str, **more: Any) -> Any:
    return caller.post("/v1/identity/token", {"token": token, **more})


def by_hand(header: dict[str, Any], claims: dict[str, Any], sign: Callable[[bytes], bytes]) -> str:
    """A token as no library writes it."""

    def part(value: bytes) -> str:
        return base64.urlsafe_b64encode(value).decode().rstrip("=")

    head = f"{part(json.dumps(header).encode())}.{part(json.dumps(claims).encode())}"
    return f"{head}.{part(sign(head.encode()))}"


@pytest.mark.parametrize("kid", ["rsa", "ec"])
def test_a_token_gives_a_key_for_an_hour_once(
    running: Serving, nobody: Caller, provider: IdentityProvider, trust: dict[str, Any], kid: str
) -> None:
    token = provider.signed(github(provider), kid=kid)
    answer = sent(nobody, token)
    assert answer.status_code == 200, answer.text
    given = answer.json()
    assert (given["project"], given["role"]) == ("vision", "submitter")
    left = datetime.fromisoformat(given["expires_at"]) - datetime.now(UTC)
    assert timedelta(minutes=59) < left <= timedelta(hours=1)
    with running.client(given["key"]) as http:
        me = http.get("/v1/keys/me").json()
        assert (me["id"], me["role"], me["projects"]) == (given["key_id"], "submitter", ["vision"])
        assert me["name"] == "CI: repo:octo/atlas:ref:refs/heads/main"
        other = {"project": "other", "name": "n", "object": "sha256:" + "0" * 64}
        problem(http.post("/v1/datasets", json=other), 403, "forbidden")
        problem(
            http.post("/v1/datasets", json={**other, "project": "vision"}), 422, "object_missing"
        )
        problem(http.get("/v1/keys"), 403, "forbidden")
    with nobody.nothing_changes():
        again = problem(sent(nobody, token), 401, "token_refused")
    assert "exchanged already" in again["detail"]
    with running.services.database.transaction() as session:
        (entry,) = audit_of(session, given["key_id"])
    assert entry.action == "key.exchanged"
    assert entry.data["trust"] == trust["id"]
    assert entry.data["repository_id"] == "7654321"
    assert token not in str(entry.data)


def test_one_token_at_many_doors_at_once(
    nobody: Caller, provider: IdentityProvider, trust: dict[str, Any]
) -> None:
    token = provider.signed(github(provider))
    statuses: list[int] = []
    threads = [
        threading.Thread(target=lambda: statuses.append(sent(nobody, token).status_code))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200, 401, 401, 401, 401, 401]


def hostile(provider: IdentityProvider) -> dict[str, tuple[str, str]]:
    """Tokens that must open nothing, and a word of the reason."""
    now = int(time.time())
    key = provider.keys["rsa"].public_key()
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    foreign = rsa_key()

    def claims(**changes: Any) -> str:
        return provider.signed(github(provider, **changes))

    def confused(secret: bytes) -> str:
        return by_hand(
            {"alg": "HS256", "typ": "JWT", "kid": "rsa"},
            github(provider),
            lambda head: hmac.digest(secret, head, hashlib.sha256),
        )

    def stranger(kid: str = "rsa", **headers: Any) -> str:
        return jwt.encode(
            github(provider), foreign, algorithm="RS256", headers={"kid": kid, **headers}
        )

    right = claims()
    head, body, signature = right.split(".")
    whose = (
        base64.urlsafe_b64encode(json.dumps(github(provider, repository_id="1")).encode())
        .decode()
        .rstrip("=")
    )
    jwk = public("rsa", foreign)
    return {
        "another audience": (claims(aud="https://other.example"), "audience"),
        "an audience that begins alike": (claims(aud=AUDIENCE + ".evil.example"), "audience"),
        "no audience": (claims(aud=None), "aud"),
        "another issuer": (claims(iss="https://token.actions.example"), "not trusted"),
        "an issuer with a slash": (claims(iss=provider.issuer + "/"), "not trusted"),
        "no issuer": (claims(iss=None), "iss"),
        "an issuer that is no text": (claims_raw(provider, iss=5), "iss"),
        "an issuer that no database can hold": (claims_raw(provider, iss="https://\0"), "iss"),
        "half a surrogate pair as issuer": (claims_raw(provider, iss="https://\ud800"), "iss"),
        "half a surrogate pair as id": (claims_raw(provider, jti="\ud800"), "jti"),
        "expires beyond all numbers": (claims_raw(provider, exp=10**400), "day"),
        "expired": (claims(exp=now - 120), "expired"),
        "never expires": (claims(exp=None), "exp"),
        "expires in a year": (claims(exp=now + 366 * 86_400), "day"),
        "expires at no time": (claims_raw(provider, exp="soon"), "cannot be read"),
        "expires at infinity": (claims_raw(provider, exp=float("inf")), "cannot be read"),
        "not valid yet": (claims(nbf=now + 600), "not valid yet"),
        "made in the future": (claims(iat=now + 600), "not valid yet"),
        "made at no time": (claims(iat=None), "iat"),
        "about nobody": (claims(sub=None), "sub"),
        "without an id": (claims(jti=None), "jti"),
        "an empty id": (claims(jti=""), "jti"),
        "an endless id": (claims(jti="x" * 400), "jti"),
        "another repository": (claims(repository_id="7654322"), "repository_id"),
        "no repository": (claims(repository_id=None), "repository_id"),
        "another owner": (claims(repository_owner_id="1"), "repository_owner_id"),
        "the names of a repository that was renamed": (
            claims(repository_id="1", repository_owner_id="2"),
            "repository_id, repository_owner_id",
        ),
        "another branch": (claims(ref="refs/heads/evil"), "ref"),
        "a pull request": (claims(ref="refs/pull/1/merge"), "ref"),
        "unsigned": (by_hand({"alg": "none"}, github(provider), lambda _: b""), "'none'"),
        "unsigned with a key's name": (
            by_hand({"alg": "None", "kid": "rsa"}, github(provider), lambda _: b""),
            "'None'",
        ),
        "signed by the public key as a secret": (confused(pem), "HS256"),
        "signed by its other spelling": (confused(der), "HS256"),
        "an algorithm of the wrong key": (
            by_hand({"alg": "ES256", "kid": "rsa"}, github(provider), lambda _: b"\0" * 64),
            "signature",
        ),
        "signed by a stranger": (stranger(), "signature"),
        "a stranger's key in the header": (stranger(jwk=jwk), "signature"),
        "a stranger's key elsewhere": (
            stranger(jku="http://127.0.0.1:1/jwks", x5u="http://127.0.0.1:1/c"),
            "signature",
        ),
        "a key that is not known": (stranger("other"), "no such key"),
        "a key that is a path": (stranger("../../../../dev/null"), "no such key"),
        "a key that is a query": (stranger("' OR 1=1 --"), "no such key"),
        "a key that is an address": (stranger("http://127.0.0.1:1/jwks"), "no such key"),
        "a key with an endless name": (stranger("k" * 1000), "no key"),
        "no key": (
            jwt.encode(github(provider), foreign, algorithm="RS256", headers={}),
            "no key",
        ),
        "another's claims": (f"{head}.{whose}.{signature}", "signature"),
        "a broken signature": (f"{head}.{body}.{signature[:-8]}AAAAAAAA", "signature"),
        "no signature": (f"{head}.{body}.", "signature"),
        "critical extensions": (
            stranger(crit=["http://evil.example"], **{"http://evil.example": 1}),
            "",
        ),
        "too long": (claims(padding="x" * 20_000), "no signed"),
        "no token": ("la_nonsense", "no signed"),
        "dots": ("..", "cannot be read"),
        "no claims": (f"{head}.W10.{signature}", "iss"),
        "five parts": (f"{right}.a.b", "no signed"),
        "deeply nested": (f"{head}.{nested()}.{signature}", "cannot be read"),
    }


def claims_raw(provider: IdentityProvider, **changes: Any) -> str:
    """Signed, with claims that the library would not write."""
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.hashes import SHA256

    key: Any = provider.keys["rsa"]
    return by_hand(
        {"alg": "RS256", "kid": "rsa"},
        {**github(provider), **changes},
        lambda head: bytes(key.sign(head, PKCS1v15(), SHA256())),
    )


def nested() -> str:
    return base64.urlsafe_b64encode(b'{"a":' * 2000).decode().rstrip("=")


def test_hostile_tokens_open_nothing(
    nobody: Caller, provider: IdentityProvider, trust: dict[str, Any]
) -> None:
    with nobody.nothing_changes():
        for name, (token, why) in hostile(provider).items():
            told = problem(sent(nobody, token), 401, "token_refused")
            assert why in told["detail"], (name, told)
            assert told["retryable"] is False
    problem(sent(nobody, ""), 422, "invalid_request", "/token")
    problem(sent(nobody, "x" * 70_000), 422, "invalid_request", "/token")
    problem(nobody.post("/v1/identity/token", {}), 422, "invalid_request", "/token")
    # and the door is not broken: the right token still opens
    assert sent(nobody, provider.signed(github(provider))).status_code == 200


def test_made_up_keys_do_not_make_the_service_ask_again_and_again(
    nobody: Caller, provider: IdentityProvider, trust: dict[str, Any]
) -> None:
    assert sent(nobody, provider.signed(github(provider))).status_code == 200
    before = provider.asked["/jwks"]
    foreign = rsa_key()
    for number in range(30):
        token = jwt.encode(
            github(provider), foreign, algorithm="RS256", headers={"kid": f"new-{number}"}
        )
        problem(sent(nobody, token), 401, "token_refused")
    assert provider.asked["/jwks"] - before <= 1


def test_a_trust_from_first_to_last(
    running: Serving, admin: Caller, nobody: Caller, provider: IdentityProvider
) -> None:
    body = {**wanted(provider, "rota", environment="production"), "role": "reader"}
    made = admin.create("/v1/identity/trusts", body)
    assert made["claims"] == {**REPOSITORY, "environment": "production"}
    assert admin.get(made["links"]["self"]).json() == made
    listed = admin.get("/v1/identity/trusts").json()["items"]
    assert listed[0] == made
    token = provider.signed(github(provider, environment="production"))
    given = sent(nobody, token, project="rota").json()
    assert (given["project"], given["role"]) == ("rota", "reader")
    with running.client(given["key"]) as http:
        assert http.get("/v1/keys/me").status_code == 200
        ended = admin.http.delete(made["links"]["self"])
        assert ended.json()["revoked_at"]
        # the keys that came of it end with it
        problem(http.get("/v1/keys/me"), 401, "unauthenticated")
    assert admin.http.delete(made["links"]["self"]).json() == ended.json()
    token = provider.signed(github(provider, environment="production"))
    problem(sent(nobody, token, project="rota"), 401, "token_refused")
    with running.services.database.transaction() as session:
        told = [entry.action for entry in audit_of(session, made["id"])]
    assert told == ["trust.created", "trust.revoked", "trust.revoked"]
    problem(admin.get("/v1/identity/trusts/tru_" + "0" * 26), 404, "not_found")
    problem(admin.http.delete("/v1/identity/trusts/tru_" + "0" * 26), 404, "not_found")


def test_a_repository_of_several_projects_names_one(
    admin: Caller, nobody: Caller, provider: IdentityProvider, trust: dict[str, Any]
) -> None:
    second = admin.create("/v1/identity/trusts", wanted(provider, "second"))
    token = provider.signed(github(provider))
    told = problem(sent(nobody, token), 422, "invalid_request", "/project")
    assert "second, vision" in told["detail"]
    problem(sent(nobody, token, project="third"), 401, "token_refused")
    # nothing of that has spent the token
    assert sent(nobody, token, project="second").json()["project"] == "second"
    admin.http.delete(second["links"]["self"])


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"issuer": "http://issuer.example?x=1"}, "/issuer"),
        ({"issuer": "ftp://issuer.example"}, "/issuer"),
        ({"issuer": "https://user@issuer.example"}, "/issuer"),
        ({"issuer": "https://"}, "/issuer"),
        ({"issuer": "https://["}, "/issuer"),
        ({"issuer": "token.actions.githubusercontent.com"}, "/issuer"),
        ({"claims": {"repository": "octo/atlas", "repository_owner": "octo"}}, "/claims"),
        ({"claims": {"repository_id": "7654321", "ref": "refs/heads/main"}}, "/claims"),
        ({"claims": {"repository_id": "*", "repository_owner_id": "1"}}, "/claims"),
        ({"claims": {"repository_id": "1", "namespace_id": "1"}}, "/claims"),
        ({"claims": {}}, "/claims"),
        ({"claims": {**REPOSITORY, "a b": "c"}}, "/claims"),
        ({"claims": {**REPOSITORY, "ref": ""}}, "/claims"),
        ({"role": "admin"}, "/role"),
        ({"project": "Not One"}, "/project"),
        ({"audience": ""}, "/audience"),
        ({"jwks": {}}, "/jwks"),
    ],
)
def test_trusts_that_leave_a_door_open(
    admin: Caller, provider: IdentityProvider, change: dict[str, Any], pointer: str
) -> None:
    with admin.nothing_changes():
        told = problem(
            admin.post("/v1/identity/trusts", {**wanted(provider), **change}),
            422,
            "invalid_request",
        )
    assert any(e["pointer"].startswith(pointer) for e in told["errors"]), told


def test_trusts_are_for_administrators(running: Serving, provider: IdentityProvider) -> None:
    with running.client(running.key("submitter")[1]) as http:
        problem(http.get("/v1/identity/trusts"), 403, "forbidden")
        problem(http.post("/v1/identity/trusts", json=wanted(provider)), 403, "forbidden")


def test_without_the_setting_no_provider_is_on_this_machine(
    settings: Settings, provider: IdentityProvider
) -> None:
    with serving(settings) as api, api.client(api.key("admin")[1]) as http:
        refused = http.post("/v1/identity/trusts", json=wanted(provider))
        problem(refused, 422, "invalid_request", "/issuer")


def test_a_renamed_repository_keeps_its_trust(
    nobody: Caller, provider: IdentityProvider, trust: dict[str, Any]
) -> None:
    renamed = github(
        provider,
        repository="octo-labs/globe",
        repository_owner="octo-labs",
        sub="repo:octo-labs/globe:ref:refs/heads/main",
    )
    assert sent(nobody, provider.signed(renamed)).status_code == 200


def test_gitlab(admin: Caller, nobody: Caller, provider: IdentityProvider) -> None:
    made = admin.create(
        "/v1/identity/trusts",
        {
            **wanted(provider, "gitlab"),
            "claims": {"project_id": "20", "namespace_id": "72", "ref_protected": "true"},
        },
    )
    right = {"project_id": "20", "namespace_id": 72, "ref_protected": True}
    assert sent(nobody, provider.signed(github(provider, **right)), project="gitlab").is_success
    for wrong in ({"namespace_id": "73"}, {"ref_protected": "false"}, {"project_id": ["20"]}):
        token = provider.signed(github(provider, **{**right, **wrong}))
        problem(sent(nobody, token, project="gitlab"), 401, "token_refused")
    admin.http.delete(made["links"]["self"])


def test_a_provider_that_is_away(
    running: Serving, admin: Caller, nobody: Caller, settings: Settings
) -> None:
    with identity_provider() as away:
        admin.create("/v1/identity/trusts", wanted(away, "away"))
        token = away.signed(github(away))
        away.broken["/jwks"] = (503, {}, b"")
        with nobody.nothing_changes():
            told = problem(sent(nobody, token), 503, "identity_provider_unavailable")
        assert told["retryable"] is True
        away.broken.clear()
        # the token was not spent, and the service asks again when it may
        deadline = time.monotonic() + 20
        while (answer := sent(nobody, token)).status_code == 503:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert answer.status_code == 200, answer.text
        # once the keys are known the provider may be away
        away.broken["/jwks"] = (503, {}, b"")
        assert sent(nobody, away.signed(github(away))).status_code == 200
        down = github(away)
    # gone altogether: what is known of it serves
    assert sent(nobody, away.signed(down)).status_code == 200


@pytest.mark.parametrize(
    ("path", "answer", "why"),
    [
        ("/jwks", (302, {"Location": "http://127.0.0.1:1/"}, b""), "302"),
        ("/jwks", (200, {}, b"{"), "no JSON"),
        ("/jwks", (200, {}, b"[]"), "no JSON object"),
        ("/jwks", (200, {}, b"{}"), "no keys"),
        ("/jwks", (200, {}, b" " * (600 << 10)), "more than"),
        ("/jwks", (404, {}, b""), "404"),
        ("/.well-known/openid-configuration", (200, {}, b'{"issuer": "other"}'), "another"),
        (
            "/.well-known/openid-configuration",
            (200, {}, b'{"issuer": "ISSUER", "jwks_uri": "file:///etc/passwd"}'),
            "no https",
        ),
        (
            "/.well-known/openid-configuration",
            (200, {}, b'{"issuer": "ISSUER", "jwks_uri": "https://169.254.169.254/latest"}'),
            "not asked",
        ),
        (
            "/.well-known/openid-configuration",
            (200, {}, b'{"issuer": "ISSUER", "jwks_uri": "https://10.0.0.1/jwks"}'),
            "not asked",
        ),
        ("/.well-known/openid-configuration", (200, {}, b'{"issuer": "ISSUER"}'), "no https"),
    ],
)
def test_providers_that_answer_strangely(
    path: str, answer: tuple[int, dict[str, str], bytes], why: str
) -> None:
    with identity_provider() as strange:
        status, headers, body = answer
        strange.broken[path] = (status, headers, body.replace(b"ISSUER", strange.issuer.encode()))
        with pytest.raises(Exception, match=why) as caught:
            Provider(strange.issuer, loopback=True).key("rsa")
        assert getattr(caught.value, "code", None) == "identity_provider_unavailable"


def test_a_slow_provider_does_not_hold_everybody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provider_module, "_PATIENCE_SECONDS", 0.05)
    asked, answer = threading.Event(), threading.Event()

    def slow(*_: Any, **__: Any) -> dict[str, Any]:
        asked.set()
        answer.wait(20)
        raise unavailable("slow")

    monkeypatch.setattr(provider_module, "fetch_json", slow)
    one = Provider("https://slow.example")

    def ask() -> None:
        with pytest.raises(Problem, match="slow"):
            one.key("a")

    first = threading.Thread(target=ask)
    first.start()
    assert asked.wait(20)
    with pytest.raises(Problem, match="asked already"):
        one.key("a")
    answer.set()
    first.join(20)
    # and what has just failed is not tried again at once
    monkeypatch.setattr(provider_module, "fetch_json", lambda *_, **__: pytest.fail("asked"))
    with pytest.raises(Problem, match="slow"):
        one.key("a")


def test_keys_come_and_go() -> None:
    now = [0.0]
    with identity_provider() as rotating:
        known = Provider(rotating.issuer, loopback=True, clock=lambda: now[0])
        assert known.key("rsa") is not None
        rotating.keys["new"] = rsa_key()
        assert known.key("new") is None, "asked again at once"
        now[0] += 11
        assert known.key("new") is not None
        del rotating.keys["rsa"]
        now[0] += 3601
        assert known.key("rsa") is None
        rotating.broken["/jwks"] = (500, {}, b"")
        now[0] += 3601
        assert known.key("new") is not None
        now[0] += 25 * 3600
        with pytest.raises(Exception, match="500"):
            known.key("new")


def test_keys_that_are_not_for_this() -> None:
    with identity_provider() as one:
        weak, strong = public("weak", rsa_key(1024)), public("strong", rsa_key())
        one.published = [
            weak,
            {**strong, "kid": "encrypts", "use": "enc"},
            {**strong, "kid": "other", "alg": "RS512"},
            {**strong, "kid": 5},
            {"kty": "oct", "kid": "secret", "k": "c2VjcmV0"},
            {"kty": "EC", "crv": "P-384", "kid": "curve", "x": "AA", "y": "AA"},
            {"kty": "RSA", "kid": "broken", "n": "!", "e": None},
            "nonsense",  # type: ignore[list-item]
            {**strong, "kid": "rsa"},
        ]
        known = Provider(one.issuer, loopback=True)
        for kid in ("weak", "encrypts", "other", "5", "secret", "curve", "broken"):
            assert known.key(kid) is None, kid
        found = known.key("rsa")
        assert found is not None
        token = jwt.decode(one.signed({"a": 1}), found, algorithms=["RS256"])
        assert token == {"a": 1}, "the first of a name stays"


def test_spent_tokens_are_forgotten_once_they_have_expired(
    running: Serving, nobody: Caller, provider: IdentityProvider, trust: dict[str, Any]
) -> None:
    assert sent(nobody, provider.signed(github(provider))).status_code == 200
    with running.services.database.transaction() as session:
        run(session, "UPDATE spent_tokens SET expires_at = now() - interval '1 hour'")
    before = running.census()["spent_tokens"]
    assert sent(nobody, provider.signed(github(provider))).status_code == 200
    assert before >= 1
    assert running.census()["spent_tokens"] == 1


def test_what_pins_a_repository() -> None:
    assert owned(REPOSITORY)
    assert owned({"project_id": "1", "namespace_id": "2"})
    assert not owned({"project_id": "1", "repository_owner_id": "2"})
    assert not owned({"repository_id": "one", "repository_owner_id": "2"})
    assert differing({"a": "1", "b": "true"}, {"a": 1, "b": True}) == []
    assert differing({"a": "1", "b": "x"}, {"a": True, "b": ["x"]}) == ["a", "b"]
    assert differing({"a": "1"}, {"a": 1.0}) == ["a"]
