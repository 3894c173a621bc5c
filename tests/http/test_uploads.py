"""Large files in parts, straight to the store: verified before they are anything."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx2
import psycopg
import pytest

from service.settings import Settings
from service.uploads.transfer import clean_up
from tests.features.caller import Caller, problem
from tests.support.servers import libpq
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


def test_abandoned_uploads_are_cleaned_up(
    api: Caller, small_parts: Serving, settings: Settings
) -> None:
    old, young = begin(api, b"old"), begin(api, b"young")
    send(old, b"old")
    with psycopg.connect(libpq(settings.database_url), autocommit=True) as admin:
        admin.execute(
            "UPDATE uploads SET created_at = now() - interval '3 days' WHERE id = %s", [old["id"]]
        )
    services = small_parts.services
    assert clean_up(services.database, services.store) == 1
    assert clean_up(services.database, services.store) == 0
    assert clean_up(services.database, services.store, timedelta(days=4)) == 0
    assert api.http.get(old["links"]["self"]).json()["state"] == "aborted"
    assert api.http.get(young["links"]["self"]).json()["state"] == "open"
    assert httpx2.put(old["parts"][0]["url"], content=b"old").status_code >= 400


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
