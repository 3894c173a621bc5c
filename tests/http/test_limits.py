"""Bodies of bounded size, and requests of a bounded rate."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from service.domain.problems import Problem
from service.http.limits import RateLimit, read_json
from service.settings import Settings
from tests.features.caller import Caller, problem
from tests.http.raw import answer, connection
from tests.support.serving import Serving, serving


def test_a_bucket_empties_and_fills() -> None:
    now = [100.0]
    limit = RateLimit(60, clock=lambda: now[0])
    for _ in range(60):
        limit.take("a")
    with pytest.raises(Problem) as caught:
        limit.take("a")
    assert caught.value.code == "rate_limited"
    assert caught.value.headers["Retry-After"] == "1"
    limit.take("b")
    now[0] += 1.0
    limit.take("a")
    with pytest.raises(Problem):
        limit.take("a")
    now[0] += 3600.0
    for _ in range(60):
        limit.take("a")
    with pytest.raises(Problem):
        limit.take("a")


def test_no_limit() -> None:
    limit = RateLimit(0)
    for _ in range(10_000):
        limit.take("a")


def test_json_is_read_strictly() -> None:
    assert read_json(b'{"a": [1, 2.5, "\\ud83d\\ude00", null]}') == {"a": [1, 2.5, "😀", None]}
    assert read_json(b"\xef\xbb\xbf{}".removeprefix(b"\xef\xbb\xbf")) == {}


@pytest.fixture(scope="module")
def narrow(settings: Settings) -> Iterator[Serving]:
    """An API that allows little."""
    small = settings.model_copy(
        update={"requests_per_minute": 30, "max_body_bytes": 2000, "max_object_bytes": 1000}
    )
    with serving(small) as api:
        yield api


def test_too_many_requests(narrow: Serving) -> None:
    with narrow.client(narrow.key("reader")[1]) as first:
        answers = [first.get("/v1/models") for _ in range(31)]
        assert [a.status_code for a in answers[:30]] == [200] * 30
        told = problem(answers[30], 429, "rate_limited")
        assert told["retryable"] is True
        assert int(answers[30].headers["retry-after"]) >= 1
        # health is for those who watch the service, whatever else happens
        assert first.get("/livez").status_code == 200
    with narrow.client(narrow.key("reader")[1]) as second:
        assert second.get("/v1/models").status_code == 200


def test_bodies_that_are_too_large(narrow: Serving) -> None:
    with narrow.client(narrow.key("submitter")[1]) as http:
        large = b'{"a": "' + b"x" * 3000 + b'"}'
        headers = {"Content-Type": "application/json"}
        problem(http.post("/v1/models", content=large, headers=headers), 413, "body_too_large")
        chunked = http.post(
            "/v1/models", content=iter([large[:1500], large[1500:]]), headers=headers
        )
        problem(chunked, 413, "body_too_large")
        digest = "sha256:" + "0" * 64
        caller = Caller(http, narrow.census)
        with caller.nothing_changes():
            problem(http.put(f"/v1/objects/{digest}", content=large), 413, "body_too_large")
            several = http.put(f"/v1/objects/{digest}", content=iter([large[:900], large[900:]]))
            problem(several, 413, "body_too_large")
            asked = {"digest": digest, "size": 1001}
            problem(http.post("/v1/uploads", json=asked), 413, "body_too_large", "/size")


def test_a_body_that_is_refused_is_not_waited_for(narrow: Serving) -> None:
    """The head alone says that it is too large, or that nobody may send it."""
    _, secret = narrow.key("submitter")
    for key, status in ((secret, b"413"), ("la_wrong", b"401")):
        with connection(narrow) as opened:
            opened.sendall(
                b"PUT /v1/objects/sha256:" + b"0" * 64 + b" HTTP/1.1\r\nHost: h\r\n"
                b"Authorization: Bearer " + key.encode() + b"\r\n"
                b"Content-Length: 99999999999\r\nConnection: close\r\n\r\n"
            )
            assert answer(opened).startswith(b"HTTP/1.1 " + status)
