"""Whatever is wrong with a request is told as a problem; whatever is wrong with us, without us."""

from __future__ import annotations

import json
from typing import Any

import psycopg
import pytest

from service.settings import Settings
from tests.features.caller import Caller, problem
from tests.http.raw import answer, connection
from tests.support.servers import libpq
from tests.support.serving import Serving


@pytest.mark.parametrize(
    "text",
    [
        b"{",
        b"[1,]",
        b'{"a": NaN}',
        b'{"a": -Infinity}',
        b"\xff\xfe{\x00}\x00",
        b'{"a": "\xff"}',
        b'{"a": "\\ud800"}',
        b"[" * 30_000,
        b'{"a": ' + b"9" * 5000 + b"}",
        b"{} {}",
    ],
)
def test_text_that_is_no_json(api: Caller, text: bytes) -> None:
    sent = api.http.post(
        "/v1/jobs", content=text, headers={"Content-Type": "application/json; charset=utf-8"}
    )
    told = problem(sent, 400, "malformed_json")
    assert told["request_id"]


def test_json_of_another_kind_than_wanted(api: Caller) -> None:
    bodies: tuple[Any, ...] = ([], "text", 5, None, [{}])
    for body in bodies:
        problem(api.http.post("/v1/models", json=body), 422, "invalid_request")
        problem(api.http.post("/v1/jobs", json=body), 422, "invalid_request")
    problem(api.http.post("/v1/models"), 422, "invalid_request")


def test_other_media_types(api: Caller) -> None:
    told = problem(
        api.http.post(
            "/v1/models",
            content=b'{"project": "p"}',
            headers={"Content-Type": "application/x-www-form-urlencoded"},
        ),
        415,
        "unsupported_media_type",
    )
    assert "application/json" in told["detail"]
    bare = api.http.post("/v1/models", content=b"{}")
    problem(bare, 415, "unsupported_media_type")


def test_pointers_into_bodies_queries_paths_and_headers(api: Caller) -> None:
    made = {"project": "p", "name": "n", "tags": ["ok", "not ok"], "metadata": []}
    told = problem(api.post("/v1/models", made), 422, "invalid_request", "/metadata")
    assert any(e["pointer"].startswith("/tags") for e in told["errors"])
    problem(api.post("/v1/models", {"project": "p"}), 422, "invalid_request", "/name")
    problem(api.get("/v1/models", limit=0), 422, "invalid_request", "/limit")
    problem(api.get("/v1/models", limit=201), 422, "invalid_request", "/limit")
    problem(api.get("/v1/models", cursor="!"), 422, "invalid_request", "/cursor")
    problem(api.get("/v1/jobs/nonsense"), 422, "invalid_request", "/job_id")
    problem(
        api.post("/v1/jobs", {"kind": "surface"}, headers={"Idempotency-Key": "a b"}),
        422,
        "invalid_request",
    )
    escaped = api.post("/v1/models", {"project": "p", "name": "n", "a/b~c": 1})
    problem(escaped, 422, "invalid_request", "/a~1b~0c")


def test_methods_that_an_address_lacks(api: Caller) -> None:
    refused = api.http.delete("/v1/models")
    problem(refused, 405, "method_not_allowed")
    assert "POST" in refused.headers["allow"] or "GET" in refused.headers["allow"]


def test_a_long_value_is_not_sent_back_whole(api: Caller) -> None:
    told = api.post("/v1/directions", {"kind": "x" * 500_000, "checkpoint": "c"})
    problem(told, 422, "invalid_request")
    assert len(told.content) < 10_000


@pytest.mark.parametrize("field", ["name", "text"])
def test_text_that_the_database_cannot_hold(api: Caller, field: str) -> None:
    path = "/v1/models" if field == "name" else "/v1/landscapes"
    problem(api.get(path, **{field: "a\x00b"}), 422, "invalid_request", f"/{field}")


def test_what_is_no_http(running: Serving) -> None:
    with connection(running) as opened:
        opened.sendall(b"HELO service\r\n\r\n")
        assert answer(opened).startswith(b"HTTP/1.1 400")


@pytest.fixture
def failing_commits(settings: Settings) -> object:
    """The database refuses, at the commit, what changed a job."""
    name = "refuse_at_commit"
    with psycopg.connect(libpq(settings.database_url), autocommit=True) as admin:
        admin.execute(
            f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS"
            " $$BEGIN RAISE EXCEPTION 'secret detail of the failure'; END$$"
        )
        admin.execute(
            f"CREATE CONSTRAINT TRIGGER {name} AFTER UPDATE ON jobs"
            f" DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION {name}()"
        )
        yield
        admin.execute(f"DROP TRIGGER {name} ON jobs")
        admin.execute(f"DROP FUNCTION {name}()")


def test_a_commit_that_fails_is_never_told_as_success(
    api: Caller, job: str, failing_commits: object, caplog: pytest.LogCaptureFixture
) -> None:
    sent = api.post(f"/v1/jobs/{job}/cancel")
    told = problem(sent, 500, "internal_error")
    assert "secret" not in sent.text
    assert "psycopg" not in sent.text
    assert api.get(f"/v1/jobs/{job}").json()["state"] == "queued"
    # the log has what the caller does not get, under the id that the caller does get
    found = [r for r in caplog.records if told["request_id"] in r.getMessage() and r.exc_info]
    assert "secret detail" in str(found[0].exc_info)


def test_request_ids(running: Serving, api: Caller, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="service.http.access")
    own = api.http.get("/v1/models", headers={"X-Request-Id": "build-17.a:b_c"})
    assert own.headers["x-request-id"] == "build-17.a:b_c"
    minted = api.http.get("/v1/models/nonsense")
    assert minted.headers["x-request-id"].startswith("req_")
    assert minted.json()["request_id"] == minted.headers["x-request-id"]
    for bad in (b"a b", b"x" * 101, b"\xff", b"a\tb", b'"><script>', b"-"):
        told = api.http.get("/v1/models", headers=[(b"X-Request-Id", bad)])
        assert told.headers["x-request-id"].startswith("req_"), bad
    lines = [r.getMessage() for r in caplog.records if r.name == "service.http.access"]
    assert any("build-17.a:b_c" in line for line in lines)
    assert not any("script" in line or "\t" in line for line in lines)


def test_a_line_break_cannot_get_into_headers_or_log(
    running: Serving, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="service.http.access")
    with connection(running) as opened:
        opened.sendall(
            b"GET /livez%0d%0aX-Evil:%201?a=%0a HTTP/1.1\r\nHost: h\r\n"
            b"X-Request-Id: a\r\n X-Evil: folded\r\nConnection: close\r\n\r\n"
        )
        head = answer(opened).partition(b"\r\n\r\n")[0].lower()
    assert b"\r\nx-evil" not in head
    assert not any("\n" in r.getMessage() for r in caplog.records if "access" in r.name)


def test_secrets_are_not_logged(
    running: Serving, nobody: Caller, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    _, secret = running.key("reader")
    nobody.http.get("/v1/models", headers={"Authorization": f"Bearer {secret}"})
    nobody.http.get("/v1/models", headers={"Authorization": f"Bearer {secret}x"})
    said = json.dumps([str(vars(r)) for r in caplog.records if r.name.startswith("service")])
    assert secret not in said
