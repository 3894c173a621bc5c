"""Large files in parts, straight to the store: verified before they are anything."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest

from service.settings import Settings
from tests.features.caller import Caller, problem
from tests.support.serving import Serving, serving

MIB = 1 << 20
DATA = secrets.token_bytes(12 * MIB + 5)
DIGEST = f"sha256:{hashlib.sha256(DATA).hexdigest()}"


@pytest.fixture(scope="module")
def small_parts(settings: Settings) -> Iterator[Serving]:
    """An API that asks for parts of the least size that S3 allows."""
    with serving(settings.model_copy(update={"upload_part_bytes": 5 * MIB})) as api:
        yield api


@pytest.fixture(scope="module")
def api(small_parts: Serving) -> Iterator[Caller]:
    with small_parts.client(small_parts.key("submitter")[1]) as http:
        yield Caller(http, small_parts.census)


def begin(api: Caller, data: bytes = DATA, digest: str | None = None) -> dict[str, Any]:
    named = digest or f"sha256:{hashlib.sha256(data).hexdigest()}"
    return api.create("/v1/uploads", {"digest": named, "size": len(data)})


def send(upload: dict[str, Any], data: bytes, numbers: set[int] | None = None) -> None:
    """As any HTTP client would, without a key of ours."""
    with httpx2.Client(timeout=60) as plain:
        for part in upload["parts"]:
            if numbers is None or part["number"] in numbers:
                answer = plain.put(part["url"], content=data[part["start"] : part["stop"]])
                assert answer.status_code == 200, answer.text


def test_parts_become_an_object(api: Caller, stranger: Caller) -> None:
    upload = begin(api)
    assert [(p["start"], p["stop"]) for p in upload["parts"]] == [
        (0, 5 * MIB),
        (5 * MIB, 10 * MIB),
        (10 * MIB, len(DATA)),
    ]
    assert upload["state"] == "open"
    assert api.http.head(f"/v1/objects/{DIGEST}").status_code == 404
    send(upload, DATA, {1, 3})
    told = problem(api.post(upload["links"]["complete"]), 400, "upload_incomplete")
    assert told["retryable"] is True
    # addresses run out; asking again gives fresh ones
    send(api.http.get(upload["links"]["self"]).json(), DATA, {2})
    for other in ("self", "complete"):
        method = "GET" if other == "self" else "POST"
        foreign = stranger.http.request(method, upload["links"][other])
        problem(foreign, 404, "not_found")
    done = api.post(upload["links"]["complete"])
    assert done.status_code == 200, done.text
    assert done.json()["state"] == "completed"
    assert done.json()["parts"] == []
    assert api.post(upload["links"]["complete"]).json() == done.json()
    assert api.http.get(done.json()["links"]["object"]).content == DATA
    problem(api.http.delete(upload["links"]["self"]), 409, "conflict")
    # what was brought so is used like any other object
    again = api.http.put(f"/v1/objects/{DIGEST}", content=DATA)
    assert again.status_code == 200


def test_other_bytes_than_promised(api: Caller, small_parts: Serving) -> None:
    data = secrets.token_bytes(6 * MIB)
    upload = begin(api, data, digest="sha256:" + secrets.token_hex(32))
    send(upload, data)
    before = small_parts.census()["objects"]
    problem(api.post(upload["links"]["complete"]), 422, "digest_mismatch")
    assert small_parts.census()["objects"] == before
    assert not list(small_parts.services.store.keys(f"uploads/{upload['id']}"))
    assert api.http.get(upload["links"]["self"]).json()["state"] == "aborted"
    problem(api.post(upload["links"]["complete"]), 409, "conflict")
    assert api.http.head(upload["links"]["object"]).status_code == 404


def test_giving_up(api: Caller) -> None:
    upload = begin(api, b"abc")
    send(upload, b"abc")
    assert api.http.delete(upload["links"]["self"]).json()["state"] == "aborted"
    assert api.http.delete(upload["links"]["self"]).json()["state"] == "aborted"
    problem(api.post(upload["links"]["complete"]), 409, "conflict")
    late = httpx2.put(upload["parts"][0]["url"], content=b"abc")
    assert late.status_code >= 400


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"size": 0}, "/size"),
        ({"size": -1}, "/size"),
        ({"size": 2**63}, "/size"),
        ({"size": "many"}, "/size"),
        ({"digest": "sha256:short"}, "/digest"),
        ({"colour": 1}, "/colour"),
    ],
)
def test_fields_that_are_wrong(api: Caller, change: dict[str, Any], pointer: str) -> None:
    with api.nothing_changes():
        asked = {"digest": DIGEST, "size": 10, **change}
        problem(api.post("/v1/uploads", asked), 422, "invalid_request", pointer)


def test_no_more_bytes_than_announced_go_up(api: Caller) -> None:
    """The fault: a part of 1,000 bytes took 20 MiB."""
    upload = begin(api, b"a" * 1000)
    (part,) = upload["parts"]
    assert (part["stop"] - part["start"], part["number"]) == (1000, 1)
    for wrong in (0, 999, 1001, 20 * MIB):
        assert httpx2.put(part["url"], content=bytes(wrong), timeout=60).status_code == 403
    assert httpx2.put(part["url"], content=iter([b"a" * 500] * 2)).status_code == 403
    assert 0 < upload["expires_in"] <= 900
    send(upload, b"a" * 1000)
    assert api.post(upload["links"]["complete"]).status_code == 200


@pytest.fixture
def quota(settings: Settings) -> Iterator[Serving]:
    """An API that lets keys of the same projects have three uploads open, of 10 MB."""
    few = {"open_uploads": 3, "open_upload_bytes": 10_000_000}
    with serving(settings.model_copy(update=few)) as api:
        yield api


def caller(api: Serving, projects: list[str] | None) -> Caller:
    return Caller(api.client(api.key("submitter", projects)[1]), api.census)


def test_what_is_begun_has_a_quota(quota: Serving) -> None:
    mine = secrets.token_hex(4)
    first, second = caller(quota, [mine, "b"]), caller(quota, ["b", mine])
    other = caller(quota, [mine])
    held = [begin(first, bytes([n])) for n in range(3)]
    for refused in (first, second):
        with refused.nothing_changes():
            answer = refused.post("/v1/uploads", {"digest": DIGEST, "size": 5})
            told = problem(answer, 429, "quota_exceeded")
        assert told["retryable"] is True
        assert answer.headers["retry-after"]
        assert "DELETE" in told["detail"]
        assert (held[0]["id"] in told["detail"]) is (refused is first), "its own alone are named"
    assert len(quota.services.store.unfinished_uploads()) < 1000
    # other projects have a quota of their own
    assert begin(other, b"x")["state"] == "open"
    first.http.delete(held[0]["links"]["self"])
    send(held[1], bytes([1]))
    assert first.post(held[1]["links"]["complete"]).status_code == 200
    assert begin(second, b"y")["state"] == "open"
    assert begin(second, b"z")["state"] == "open"
    problem(second.post("/v1/uploads", {"digest": DIGEST, "size": 5}), 429, "quota_exceeded")


def test_bytes_that_are_announced_count(quota: Serving) -> None:
    mine = caller(quota, [secrets.token_hex(4)])
    large = mine.create("/v1/uploads", {"digest": DIGEST, "size": 20_000_000})
    told = problem(
        mine.post("/v1/uploads", {"digest": DIGEST, "size": 1}), 429, "quota_exceeded", "/size"
    )
    assert "20000000 bytes" in told["detail"]
    mine.http.delete(large["links"]["self"])
    assert mine.create("/v1/uploads", {"digest": DIGEST, "size": 6_000_000})
    problem(mine.post("/v1/uploads", {"digest": DIGEST, "size": 6_000_000}), 429, "quota_exceeded")
    assert mine.create("/v1/uploads", {"digest": DIGEST, "size": 4_000_000})


def test_a_quota_holds_against_many_at_once(quota: Serving) -> None:
    mine = [secrets.token_hex(4)]
    with ThreadPoolExecutor(12) as pool:
        answers = list(
            pool.map(
                lambda one: one.post("/v1/uploads", {"digest": DIGEST, "size": 1}).status_code,
                [caller(quota, mine) for _ in range(12)],
            )
        )
    assert sorted(answers) == [201] * 3 + [429] * 9
