"""Uploads that end early, lie or are large: what does not verify leaves nothing behind."""

from __future__ import annotations

import hashlib
import io
import logging
import secrets
import socket
import struct
import time
from collections.abc import Callable

import pytest
from minio import Minio

from service.settings import Settings
from tests.features.caller import Caller, problem
from tests.http.raw import answer, connection, settle
from tests.support.servers import minio
from tests.support.serving import Serving

MIB = 1 << 20


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@pytest.fixture
def head(running: Serving) -> Callable[[str, str], bytes]:
    """The beginning of a PUT."""
    _, secret = running.key("submitter")

    def made(digest: str, how: str) -> bytes:
        return (
            f"PUT /v1/objects/{digest} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {secret}\r\n"
            f"Connection: close\r\n{how}\r\n\r\n"
        ).encode()

    return made


@pytest.fixture
def unfinished(settings: Settings) -> Callable[[], list[str]]:
    """Keys of multipart uploads that the store still holds parts of."""
    client: Minio = minio(
        {
            "S3_ENDPOINT": settings.s3_endpoint,
            "S3_ACCESS_KEY": settings.s3_access_key,
            "S3_SECRET_KEY": settings.s3_secret_key.get_secret_value(),
            "S3_REGION": settings.s3_region,
        }
    )

    def look() -> list[str]:
        found = client._list_multipart_uploads(settings.s3_bucket, prefix="objects/")
        return [str(upload.object_name) for upload in found.uploads]

    return look


def test_new_and_known(api: Caller) -> None:
    data = secrets.token_bytes(1000)
    first = api.http.put(f"/v1/objects/{digest_of(data)}", content=data)
    again = api.http.put(f"/v1/objects/{digest_of(data)}", content=data)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    assert first.json()["size"] == 1000
    assert first.headers["location"] == f"/v1/objects/{digest_of(data)}"


def test_nothing_at_all_is_an_object(api: Caller) -> None:
    digest = digest_of(b"")
    assert api.http.put(f"/v1/objects/{digest}", content=b"").status_code in (200, 201)
    got = api.http.get(f"/v1/objects/{digest}")
    assert (got.status_code, got.content, got.headers["content-length"]) == (200, b"", "0")
    problem(
        api.http.get(f"/v1/objects/{digest}", headers={"Range": "bytes=0-"}),
        416,
        "range_not_satisfiable",
    )


def test_in_chunks(api: Caller) -> None:
    data = secrets.token_bytes(3 * MIB + 17)
    pieces = [data[at : at + 100_001] for at in range(0, len(data), 100_001)]
    sent = api.http.put(f"/v1/objects/{digest_of(data)}", content=iter(pieces))
    assert sent.status_code == 201, sent.text
    assert sent.json()["size"] == len(data)
    assert api.http.get(f"/v1/objects/{digest_of(data)}").content == data


@pytest.mark.parametrize("size", [1, 20 * MIB])
def test_a_wrong_digest(api: Caller, size: int) -> None:
    data = secrets.token_bytes(size)
    other = digest_of(b"something else" + data[:16])
    with api.nothing_changes():
        problem(api.http.put(f"/v1/objects/{other}", content=data), 422, "digest_mismatch")
    assert api.http.head(f"/v1/objects/{other}").status_code == 404


def test_other_bytes_under_a_known_digest(api: Caller) -> None:
    data = secrets.token_bytes(500)
    digest = api.put(data)
    with api.nothing_changes():
        sent = api.http.put(f"/v1/objects/{digest}", content=data[:-1] + b"!")
        assert 400 <= sent.status_code < 500
    assert api.http.get(f"/v1/objects/{digest}").content == data


@pytest.mark.parametrize("digest", ["sha256:xyz", "sha256:" + "A" * 64, "md5:" + "0" * 32, "%00"])
def test_no_digest(api: Caller, digest: str) -> None:
    with api.nothing_changes():
        sent = api.http.put(f"/v1/objects/{digest}", content=b"a")
        problem(sent, 422, "invalid_request", "/digest")


@pytest.mark.parametrize("sent", [0, 1000, 12 * MIB])
@pytest.mark.parametrize("ending", ["close", "reset", "half"])
def test_a_caller_that_hangs_up_half_way(
    running: Serving,
    api: Caller,
    head: Callable[[str, str], bytes],
    unfinished: Callable[[], list[str]],
    caplog: pytest.LogCaptureFixture,
    sent: int,
    ending: str,
) -> None:
    """Says 40 MiB and goes: no row, no object, no part, no thread, and no traceback in the log."""
    caplog.set_level(logging.INFO)
    data = secrets.token_bytes(sent)
    digest = digest_of(data + b"the rest")
    start = head(digest, f"Content-Length: {40 * MIB}")
    with api.nothing_changes():
        with connection(running) as opened:
            opened.sendall(start + data)
            if ending == "reset":
                opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            if ending == "half":
                opened.shutdown(socket.SHUT_WR)
                answer(opened)
        settle_once_seen(running, caplog, digest)
    assert unfinished() == []
    assert not [r for r in caplog.records if r.exc_info], caplog.text


def settle_once_seen(running: Serving, caplog: pytest.LogCaptureFixture, digest: str) -> None:
    """Returns when the request has come and gone: its line is in the access log."""
    deadline = time.monotonic() + 20
    while not any(digest in r.getMessage() for r in caplog.records if "access" in r.name):
        assert time.monotonic() < deadline, "the request did not end"
        time.sleep(0.01)
    settle(running)


def test_fewer_bytes_in_chunks_than_whole(
    running: Serving, api: Caller, head: Callable[[str, str], bytes]
) -> None:
    """A chunked body that ends properly but early: its digest tells."""
    data = secrets.token_bytes(1000)
    with api.nothing_changes(), connection(running) as opened:
        opened.sendall(head(digest_of(data), "Transfer-Encoding: chunked"))
        opened.sendall(b"3e7\r\n" + data[:999] + b"\r\n0\r\n\r\n")
        got = answer(opened)
    assert got.startswith(b"HTTP/1.1 422")
    assert b"digest_mismatch" in got


def test_a_chunk_that_breaks_off(
    running: Serving,
    api: Caller,
    head: Callable[[str, str], bytes],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    data = secrets.token_bytes(1000)
    with api.nothing_changes():
        with connection(running) as opened:
            opened.sendall(head(digest_of(data), "Transfer-Encoding: chunked"))
            opened.sendall(b"3e8\r\n" + data[:500])
        settle_once_seen(running, caplog, digest_of(data))


def test_many_at_once_leave_room_for_others(running: Serving, api: Caller) -> None:
    """Slow uploads, more than there are threads, and the service still answers."""
    _, secret = running.key("submitter")
    opened = []
    try:
        for number in range(60):
            slow = socket.create_connection(("127.0.0.1", running.port), 30)
            opened.append(slow)
            slow.sendall(
                f"PUT /v1/objects/{digest_of(bytes([number]))} HTTP/1.1\r\nHost: h\r\n"
                f"Authorization: Bearer {secret}\r\nContent-Length: 5000\r\n\r\nabc".encode()
            )
        data = secrets.token_bytes(100)
        for _ in range(20):
            assert api.get("/v1/models").status_code == 200
    finally:
        for slow in opened:
            slow.close()
    settle(running)
    assert api.put(data)


def test_damaged_bytes_are_not_served_whole(
    api: Caller, settings: Settings, running: Serving
) -> None:
    """Someone changed the stored bytes behind the service's back."""
    data = secrets.token_bytes(3 * MIB)
    digest = api.put(data)
    client = minio(
        {
            "S3_ENDPOINT": settings.s3_endpoint,
            "S3_ACCESS_KEY": settings.s3_access_key,
            "S3_SECRET_KEY": settings.s3_secret_key.get_secret_value(),
            "S3_REGION": settings.s3_region,
        }
    )
    digits = digest.removeprefix("sha256:")
    key = f"objects/{digits[:2]}/{digits[2:4]}/{digits}"
    spoilt = b"\0" * 16 + data[16:]
    client.put_object(settings.s3_bucket, key, io.BytesIO(spoilt), len(spoilt))
    _, secret = running.key("admin")
    with connection(running) as opened:
        opened.sendall(
            f"GET /v1/objects/{digest} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {secret}\r\n"
            "Connection: close\r\n\r\n".encode()
        )
        got = answer(opened).partition(b"\r\n\r\n")[2]
    assert len(got) < len(data)
    client.remove_object(settings.s3_bucket, key)
    assert api.http.head(f"/v1/objects/{digest}").status_code == 404
    assert api.put(data) == digest
    assert api.http.get(f"/v1/objects/{digest}").content == data
