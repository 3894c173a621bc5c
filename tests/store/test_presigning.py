"""Signatures in addresses: AWS's own example, and a server that holds to what was signed."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

from service.ledger.ids import new_id
from service.store.keys import upload_key
from service.store.objects import ObjectStore
from service.store.presigning import Credentials, presign

LENGTH = 1000
#: Of AWS's documentation, "Authenticating Requests: Using Query Parameters".
EXAMPLE = Credentials(
    "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "us-east-1"
)


def test_the_example_of_the_documentation() -> None:
    url = presign(
        "GET",
        "https://examplebucket.s3.amazonaws.com/test.txt",
        by=EXAMPLE,
        at=datetime(2013, 5, 24, tzinfo=UTC),
        seconds=86_400,
    )
    assert url == (
        "https://examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256"
        "&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request"
        "&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
        "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
    )
    assert "wJalrXUtnFEMI" not in repr(EXAMPLE)


@pytest.mark.parametrize("seconds", [0, -1, 7 * 86_400 + 1])
def test_lifetimes_that_s3_has_not(seconds: int) -> None:
    at = datetime(2013, 5, 24, tzinfo=UTC)
    with pytest.raises(ValueError, match="outside 1 to 604800"):
        presign("PUT", "https://a.example/b", by=EXAMPLE, at=at, seconds=seconds)


@pytest.fixture
def part(store: ObjectStore) -> Iterator[tuple[str, str, str]]:
    """An upload's key and name, and the address of its only part."""
    key = upload_key(new_id("upl"))
    name = store.begin_upload(key)
    (url,) = store.presign_parts(key, name, {1: LENGTH}, timedelta(seconds=60)).values()
    yield key, name, url
    store.abort_upload(key, name)


def test_the_length_is_signed(part: tuple[str, str, str]) -> None:
    signed = parse_qs(urlsplit(part[2]).query)["X-Amz-SignedHeaders"]
    assert signed == ["content-length;host"]


@pytest.mark.parametrize("length", [0, 1, LENGTH - 1, LENGTH + 1, 20 << 20])
def test_no_other_length_is_taken(part: tuple[str, str, str], length: int) -> None:
    assert httpx2.put(part[2], content=bytes(length)).status_code == 403


def test_chunks_of_no_known_length_are_not_taken(part: tuple[str, str, str]) -> None:
    pieces = iter([bytes(100)] * (LENGTH // 100))
    assert httpx2.put(part[2], content=pieces).status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Amz-Copy-Source": "/lossatlas/objects/ab/cd/ef"},
        {"X-Amz-Copy-Source": "/lossatlas/objects/ab", "X-Amz-Copy-Source-Range": "bytes=0-10"},
        {"X-Amz-Decoded-Content-Length": "5000", "Content-Encoding": "aws-chunked"},
        {"X-Amz-Content-Sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER"},
        {"X-Amz-Acl": "public-read"},
        {"X-Amz-Meta-Owner": "somebody"},
    ],
)
def test_nothing_of_the_servers_own_can_be_added(
    part: tuple[str, str, str], headers: dict[str, str]
) -> None:
    """Above all no copy of another object: that would give bytes to whoever knows a digest."""
    refused = httpx2.put(part[2], content=bytes(LENGTH), headers=headers)
    assert refused.status_code in (400, 403)
    assert httpx2.put(part[2], content=bytes(LENGTH)).status_code == 200


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE"])
def test_the_method_is_signed(part: tuple[str, str, str], method: str) -> None:
    assert httpx2.request(method, part[2]).status_code in (403, 405)


def test_nothing_can_be_added_to_the_query(part: tuple[str, str, str]) -> None:
    for more in ("&acl=", "&versionId=1", "&X-Amz-Expires=604800", "&partNumber=2"):
        answer = httpx2.put(part[2] + more, content=bytes(LENGTH))
        assert 400 <= answer.status_code < 500, more


def test_a_length_beside_chunks_is_no_way_round(part: tuple[str, str, str]) -> None:
    """Says the signed length, and sends more in chunks."""
    where = urlsplit(part[2])
    assert where.hostname
    assert where.port
    body = bytes(5000)
    with socket.create_connection((where.hostname, where.port), 10) as opened:
        opened.sendall(
            f"PUT {where.path}?{where.query} HTTP/1.1\r\nHost: {where.netloc}\r\n"
            f"Content-Length: {LENGTH}\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
            "1388\r\n".encode()
            + body
            + b"\r\n0\r\n\r\n"
        )
        answer = opened.recv(100)
    assert answer.startswith((b"HTTP/1.1 403", b"HTTP/1.1 400"))
