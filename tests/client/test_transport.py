"""When calls are repeated, and when they must not be."""

from __future__ import annotations

import hashlib
import socket
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from lossatlas.discovery import Endpoint
from lossatlas.errors import (
    AuthenticationError,
    InvalidRequestError,
    ServiceUnreachable,
    UnavailableError,
    WeightsInvalidError,
)
from lossatlas.retrying import Patience, retry_after_seconds
from lossatlas.transport import Transport
from lossatlas.uploading import upload

from tests.client.answering import Reply, answering, problem

BUSY = Reply(503, problem("unavailable", 503, retryable=True), {"Retry-After": "1"})


def transport(url: str, seconds: float = 10.0) -> Transport:
    return Transport(Endpoint(url, "secret"), retry_seconds=seconds)


def test_retry_after_is_waited_for() -> None:
    with answering(BUSY, Reply(200, {"ok": True})) as server, transport(server.url) as http:
        began = time.monotonic()
        assert http.call("POST", "/v1/models", json_body={}).json() == {"ok": True}
        assert time.monotonic() - began >= 1.0
        assert len(server.seen) == 2


def test_a_retry_after_beyond_patience_is_not_waited_for() -> None:
    late = Reply(503, problem("unavailable", 503, retryable=True), {"Retry-After": "3600"})
    with answering(late) as server, transport(server.url) as http:
        began = time.monotonic()
        with pytest.raises(UnavailableError):
            http.call("GET", "/v1/jobs")
        assert time.monotonic() - began < 5
        assert len(server.seen) == 1


def test_a_refusal_that_cannot_change_is_not_repeated() -> None:
    fault = problem(
        "weights_invalid", 422, errors=[{"pointer": "/weights", "detail": "'a' is missing"}]
    )
    with answering(Reply(422, fault)) as server, transport(server.url) as http:
        with pytest.raises(WeightsInvalidError) as caught:
            http.call("POST", "/v1/models/m/checkpoints", json_body={})
        assert len(server.seen) == 1
    assert caught.value.code == "weights_invalid"
    assert [(e.pointer, e.detail) for e in caught.value.errors] == [("/weights", "'a' is missing")]


def test_a_broken_connection_repeats_only_what_cannot_happen_twice() -> None:
    cut = Reply(cut=True)
    with answering(cut, Reply(200, {})) as server, transport(server.url) as http:
        with pytest.raises(ServiceUnreachable):
            http.call("POST", "/v1/models", json_body={})
        assert len(server.seen) == 1
    keyed = {"Idempotency-Key": "k1"}
    with answering(cut, Reply(202, {})) as server, transport(server.url) as http:
        http.call("POST", "/v1/jobs", json_body={}, headers=keyed)
        assert [seen.headers["Idempotency-Key"] for seen in server.seen] == ["k1", "k1"]


def test_an_outage_is_waited_out_and_then_told() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        told: list[str] = []
        http = Transport(Endpoint(url, "k"), retry_seconds=1.0, notice=told.append)
        began = time.monotonic()
        with http, pytest.raises(ServiceUnreachable, match="cannot be reached"):
            http.call("GET", "/v1/jobs")
        assert 1.0 <= time.monotonic() - began < 5.0
        assert len(told) == 1


@pytest.mark.parametrize(
    ("status", "kind"), [(401, AuthenticationError), (302, InvalidRequestError)]
)
def test_answers_that_are_no_problem_documents(status: int, kind: type[Exception]) -> None:
    with answering(Reply(status, "hello")) as server, transport(server.url) as http:
        with pytest.raises(kind, match=str(status)):
            http.call("GET", "/v1/jobs")
        assert len(server.seen) == 1


def test_another_site_is_recognised() -> None:
    with answering(Reply(200, "x")) as server, transport(server.url) as http:
        http.call("GET", "/")
    with answering(Reply(404, "x")) as server, transport(server.url) as http:
        assert http.exists("/v1/objects/x") is False


def test_an_upload_sends_what_is_missing_whole_and_again_after_a_break(tmp_path: Path) -> None:
    data = bytes(range(256)) * 20_000
    path = tmp_path / "weights.safetensors"
    path.write_bytes(data)
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    absent = Reply(404, problem("not_found", 404))
    replies = (absent, BUSY, Reply(201, {}))
    with answering(*replies) as server, transport(server.url) as http:
        assert http.run(upload(path, server.url, progress=False)) == digest
        assert [s.method for s in server.seen] == ["HEAD", "PUT", "PUT"]
        assert server.seen[2].body == data
        assert server.seen[2].path == f"/v1/objects/{digest}"
    with answering(Reply(200)) as server, transport(server.url) as http:
        assert http.run(upload(path, server.url, progress=False)) == digest
        assert [s.method for s in server.seen] == ["HEAD"]


def test_patience_grows_and_ends() -> None:
    patience = Patience(100.0)
    waits = [patience.next_wait() for _ in range(8)]
    assert all(wait is not None and 0 < wait <= 8.0 for wait in waits)
    assert (waits[6] or 0) > (waits[0] or 0)
    assert Patience(0.0).next_wait() is None


def test_retry_after_as_number_and_as_date() -> None:
    assert retry_after_seconds("7") == 7.0
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    seconds = retry_after_seconds(date)
    assert seconds is not None
    assert 55 < seconds <= 60
    assert retry_after_seconds("soon") is None
    assert retry_after_seconds(None) is None
