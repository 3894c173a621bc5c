"""Every route that there is, walked with no key, a weak key and a foreign key."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from service.http.app import document
from service.main import ROUTERS
from service.settings import Settings
from tests.features.caller import Caller, problem
from tests.features.reference import MLP, read
from tests.support.serving import Serving, serving

PUBLIC = {"/livez", "/readyz", "/docs", "/openapi.json"}
#: Where somebody without a key becomes somebody, or shows the secret in the address.
ENTRANCES = {
    "/sign-in",
    "/sign-in/oidc",
    "/sign-in/oidc/callback",
    "/v1/identity/token",
    "/s/{token}",
    "/static/{name}",
}
#: Lists for people, as HTML.
PAGES = {"/", "/models", "/compare", "/jobs", "/keys"}
#: Needs a question; of a line it is none.
DIFFERENCE = "/v1/landscapes/{landscape_id}/difference.{extension}"
#: For administrators alone, reading too.
ADMINISTRATION = {
    "/v1/keys",
    "/v1/keys/{key_id}",
    "/v1/identity/trusts",
    "/v1/identity/trusts/{trust_id}",
    "/metrics",
}
#: Ends what the caller's own browser has, and nothing where there is no browser.
OWN = {"/sign-out"}


def routes(running: Serving) -> Iterator[tuple[str, str]]:
    """Method and path template of all that the application answers."""
    app = running.server.config.app
    assert isinstance(app, FastAPI)
    for context in iter_route_contexts(app.routes):
        for method in sorted(context.methods or ()):
            yield method, str(context.path)


def filled(path: str, ids: dict[str, str]) -> str:
    at = re.sub(r"{(\w+)}", lambda m: ids[m.group(1)], path)
    return f"{at}?subtract={ids['landscape_id']}" if path == DIFFERENCE else at


def test_the_walk_knows_every_route(running: Serving) -> None:
    found = {path for _, path in routes(running)}
    assert set(document(ROUTERS)["paths"]) <= found
    assert len(found) > 30


def test_without_a_key_nothing_is_answered(
    running: Serving, nobody: Caller, ids: dict[str, str]
) -> None:
    with nobody.nothing_changes():
        for method, path in routes(running):
            answer = nobody.http.request(method, filled(path, ids))
            if path in PUBLIC:
                assert answer.status_code == 200, (method, path)
                continue
            if path in ENTRANCES:
                assert answer.status_code in (200, 303, 401, 404, 422), (method, path)
                assert "set-cookie" not in answer.headers
                continue
            assert answer.status_code == 401, (method, path)
            assert answer.headers["www-authenticate"].startswith("Bearer")
            if method != "HEAD":
                told = problem(answer, 401, "unauthenticated")
                assert told["request_id"] == answer.headers["x-request-id"]


def test_addresses_that_do_not_exist_are_no_exception(nobody: Caller, api: Caller) -> None:
    problem(nobody.get("/v2/everything"), 401, "unauthenticated")
    problem(nobody.get("/v1/models/"), 401, "unauthenticated")
    problem(nobody.get("/livez/../v1/models"), 401, "unauthenticated")
    problem(api.get("/v2/everything"), 404, "not_found")


@pytest.mark.parametrize(
    "header",
    [
        "la_wrong",
        "Bearer",
        "Bearer la_wrong",
        "Bearer la_" + "0" * 26 + "_" + "A" * 43,
        "Basic dXNlcjpwdw==",
        "Bearer " + "x" * 5000,
        "Bearer \xff",
    ],
)
def test_keys_that_are_none(nobody: Caller, header: str) -> None:
    answer = nobody.http.get("/v1/models", headers=[(b"Authorization", header.encode("latin-1"))])
    problem(answer, 401, "unauthenticated")


def test_a_reader_writes_nothing(
    running: Serving, reader: Caller, ids: dict[str, str], bodies: dict[str, Any]
) -> None:
    walked = 0
    with reader.nothing_changes():
        for method, path in routes(running):
            if method in ("GET", "HEAD") or path in ENTRANCES | OWN:
                continue
            at = filled(path, ids)
            if path == "/v1/objects/{digest}":
                answer = reader.http.put(at, content=read(MLP, "program.pt2"))
            else:
                answer = reader.http.request(method, at, json=bodies.get(path))
            problem(answer, 403, "forbidden")
            walked += 1
    assert walked >= 12


def test_a_reader_reads_everything_but_keys_and_numbers(
    running: Serving, reader: Caller, ids: dict[str, str]
) -> None:
    for method, path in routes(running):
        if method != "GET" or path in ENTRANCES:
            continue
        answer = reader.http.get(filled(path, ids))
        if path in ADMINISTRATION:
            problem(answer, 403, "forbidden")
        elif path == "/v1/uploads/{upload_id}":
            problem(answer, 404, "not_found")
        elif path == DIFFERENCE:
            problem(answer, 422, "not_supported")
        else:
            assert answer.status_code == 200, (path, answer.text)
            assert answer.headers["x-content-type-options"] == "nosniff"


def test_for_a_stranger_nothing_is_there(
    running: Serving, stranger: Caller, ids: dict[str, str], bodies: dict[str, Any]
) -> None:
    with stranger.nothing_changes():
        for method, path in routes(running):
            if method == "HEAD" or path in PUBLIC | ENTRANCES | OWN or path == "/v1/keys/me":
                continue
            if (method, path) in {("PUT", "/v1/objects/{digest}"), ("POST", "/v1/uploads")}:
                continue  # bytes belong to nobody: whoever has them may bring them
            answer = stranger.http.request(method, filled(path, ids), json=bodies.get(path))
            if method == "GET" and path in PAGES:
                assert answer.status_code == 200, path
                assert not [i for i in ids.values() if len(i) > 25 and i in answer.text], path
                continue
            if method == "GET" and "{" not in path and path not in ADMINISTRATION:
                assert answer.json()["items"] == [], path
                continue
            assert answer.status_code in (403, 404, 422), (method, path, answer.text)
            problem(answer, answer.status_code, answer.json()["code"])
            if answer.status_code == 422:
                assert answer.json()["code"] in ("invalid_request", "object_missing"), answer.text


#: Kept by anybody: they are in the published code, or say what anybody is told.
KEPT_BY_ALL = {"/static/{name}", "/docs", "/openapi.json"}
#: Shown in a frame by the service's own pages.
FRAMED = {"/v1/landscapes/{landscape_id}/view"}


@pytest.fixture(scope="module", params=["https", "http"])
def reached(request: pytest.FixtureRequest, settings: Settings) -> Iterator[tuple[Serving, bool]]:
    """The service as people reach it by each; whether it is https."""
    url = f"{request.param}://lossatlas.example.org"
    with serving(settings.model_copy(update={"public_url": url})) as api:
        yield api, request.param == "https"


def require_headers(answer: Any, path: str, *, https: bool) -> None:
    """What every answer of a path has to say to browsers."""
    got, at = answer.headers, f"{answer.request.method} {path} {answer.status_code}"
    transport = got.get("strict-transport-security")
    assert transport == ("max-age=31536000" if https else None), at
    assert got["x-content-type-options"] == "nosniff", at
    policy = dict(
        part.strip().partition(" ")[::2] for part in got["content-security-policy"].split(";")
    )
    assert policy["default-src"] == "'none'", at
    assert policy["base-uri"] == "'none'", at
    framed = path in FRAMED and answer.status_code == 200
    assert policy["frame-ancestors"] == ("'self'" if framed else "'none'"), at
    assert got["x-frame-options"] == ("SAMEORIGIN" if framed else "DENY"), at
    assert "'unsafe-eval'" not in got["content-security-policy"], at
    assert "*" not in got["content-security-policy"], at
    assert got["referrer-policy"] in ("no-referrer", "same-origin"), at
    assert got.get("cross-origin-opener-policy") == ("same-origin" if https else None), at
    shared = path == "/s/{token}" and answer.status_code == 200
    assert got["cross-origin-resource-policy"] == ("cross-origin" if shared else "same-origin"), at
    kept = got["cache-control"]
    if path in KEPT_BY_ALL and answer.status_code == 200:
        assert "no-store" not in kept, at
    else:
        assert "no-store" in kept or "private" in kept, at
        assert "public" not in kept, at
    assert "access-control-allow-origin" not in got, at
    assert "server" not in got, at
    kind = got.get("content-type", "")
    assert not kind.startswith("text/") or "charset=utf-8" in kind, at
    for cookie in got.get_list("set-cookie"):
        name, _, rest = cookie.partition("=")
        flags = {flag.strip().lower() for flag in rest.split(";")[1:]}
        assert name.startswith("__Host-") is https, at
        assert ("secure" in flags) is https, at
        assert {"httponly", "path=/"} <= flags, at
        assert flags & {"samesite=lax", "samesite=strict"}, at
        assert not any(flag.startswith("domain") for flag in flags), at


def test_every_answer_tells_browsers_what_not_to_do(
    reached: tuple[Serving, bool], ids: dict[str, str], bodies: dict[str, Any]
) -> None:
    """Every route, for everybody: good answers, refusals, redirections, pages and nothing there."""
    api, https = reached
    callers = {
        "nobody": api.client(),
        "reader": api.client(api.key("reader")[1]),
        "stranger": api.client(api.key("submitter", ["strangers"])[1]),
    }
    seen: set[int] = set()
    for method, path in routes(api):
        for who, http in callers.items():
            if path in OWN and method == "POST":
                continue
            for accept in ("application/json", "text/html"):
                body = bodies.get(path) if who != "stranger" else {"unknown": 1}
                answer = http.request(
                    method, filled(path, ids), json=body, headers={"Accept": accept}
                )
                require_headers(answer, path, https=https)
                seen.add(answer.status_code)
    for path in ("/nothing", "/v1/nothing", "/static/nothing", "/s/nothing", "/v1/models/%00"):
        for http in callers.values():
            answer = http.get(path)
            require_headers(answer, path, https=https)
            seen.add(answer.status_code)
    for http in callers.values():
        http.close()
    assert {200, 303, 401, 403, 404, 422} <= seen


def test_a_session_begins_and_ends_with_guarded_cookies(reached: tuple[Serving, bool]) -> None:
    api, https = reached
    secret = api.key("reader")[1]
    origin = {"Origin": f"http{'s' if https else ''}://lossatlas.example.org"}
    with api.client() as http:
        began = http.post("/sign-in", data={"key": secret}, headers=origin)
        require_headers(began, "/sign-in", https=https)
        assert began.status_code == 303, began.text
        assert len(began.headers.get_list("set-cookie")) == 1
