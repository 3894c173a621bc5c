"""A CI job signs in by its system's identity token: real tokens, a real exchange."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from lossatlas.ci_identity import ci_key, possible
from lossatlas.errors import AuthenticationError, ConfigurationError, ServiceUnreachable

from service.settings import Settings
from tests.support.provider import IdentityProvider, identity_provider
from tests.support.serving import Serving, serving

CLAIMS = {"repository_id": "7654321", "repository_owner_id": "1234567"}


@pytest.fixture(scope="module")
def provider() -> Iterator[IdentityProvider]:
    with identity_provider() as one:
        yield one


@pytest.fixture(scope="module")
def running(settings: Settings, provider: IdentityProvider) -> Iterator[Serving]:
    change = {"oidc_loopback": True, "sign_ins_per_minute": 0}
    with serving(settings.model_copy(update=change)) as api:
        trust = {
            "issuer": provider.issuer,
            "audience": api.url,
            "project": "signed",
            "claims": CLAIMS,
        }
        with api.client(api.key("admin")[1]) as admin:
            answer = admin.post("/v1/identity/trusts", json=trust)
            assert answer.status_code == 201, answer.text
        yield api


def token(provider: IdentityProvider, audience: str, **changes: Any) -> str:
    now = int(time.time())
    claims = {
        "iss": provider.issuer,
        "aud": audience,
        "sub": "repo:octo/atlas",
        "jti": str(uuid.uuid4()),
        "iat": now,
        "exp": now + 300,
        **CLAIMS,
        **changes,
    }
    return provider.signed(claims)


@contextmanager
def runner_service(give: Callable[[str], str]) -> Iterator[str]:
    """What a GitHub runner's token address does: checks who asks, and signs for an audience."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            allowed = self.headers.get("Authorization") == "Bearer runner"
            (audience,) = parse_qs(urlsplit(self.path).query)["audience"]
            body = json.dumps({"value": give(audience)} if allowed else {}).encode()
            self.send_response(200 if allowed else 401)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            return None

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/token?api-version=2"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def me(running: Serving, key: str) -> dict[str, Any]:
    with running.client(key) as http:
        answer = http.get("/v1/keys/me")
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body


def test_github(running: Serving, provider: IdentityProvider) -> None:
    with runner_service(lambda audience: token(provider, audience)) as address:
        environment = {
            "ACTIONS_ID_TOKEN_REQUEST_URL": address,
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "runner",
        }
        assert possible(environment)
        key = me(running, ci_key(running.url, environment))
        assert (key["role"], key["projects"]) == ("submitter", ["signed"])
        # a pipeline that is judged does not move what it is judged against
        assert key["can_promote"] is False
        # a fresh token each time, so that it can be done again
        assert ci_key(running.url, environment)
        with pytest.raises(AuthenticationError):
            ci_key(running.url, {**environment, "LOSSATLAS_AUDIENCE": "https://elsewhere"})
        with pytest.raises(AuthenticationError):
            ci_key(running.url, {**environment, "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "other"})


def test_gitlab(running: Serving, provider: IdentityProvider) -> None:
    environment = {"LOSSATLAS_ID_TOKEN": token(provider, running.url)}
    assert possible(environment)
    assert me(running, ci_key(running.url, environment))["projects"] == ["signed"]
    with pytest.raises(AuthenticationError, match="already"):
        ci_key(running.url, environment)
    foreign = {"LOSSATLAS_ID_TOKEN": token(provider, running.url, repository_id="1")}
    with pytest.raises(AuthenticationError):
        ci_key(running.url, foreign)


def test_nobody_to_ask(running: Serving, nobody_there: dict[str, str]) -> None:
    assert not possible({})
    with pytest.raises(ConfigurationError, match="id-token: write"):
        ci_key(running.url, {})
    away = nobody_there["LOSSATLAS_URL"]
    with pytest.raises(ServiceUnreachable):
        ci_key(away, {"LOSSATLAS_ID_TOKEN": "x"})
    github = {"ACTIONS_ID_TOKEN_REQUEST_URL": away, "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "x"}
    with pytest.raises(ServiceUnreachable):
        ci_key(running.url, github)
