"""Uploads straight to the server: presigned parts by real HTTP, verified before they are seen."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlsplit

import httpx2
import pytest

from service.domain.digests import digest_bytes
from service.domain.problems import Problem
from service.ledger.ids import new_id
from service.settings import Settings
from service.store.keys import upload_key
from service.store.objects import ObjectStore
from tests.store.conftest import Backdoor

PART = 5 << 20


@dataclass(frozen=True)
class Upload:
    """One upload as a caller drives it."""

    store: ObjectStore
    key: str
    name: str

    @classmethod
    def begin(cls, store: ObjectStore) -> Upload:
        key = upload_key(new_id("upl"))
        return cls(store, key, store.begin_upload(key))

    def url(self, number: int, length: int) -> str:
        minute = timedelta(seconds=60)
        return self.store.presign_parts(self.key, self.name, {number: length}, minute)[number]

    def put(self, number: int, data: bytes) -> httpx2.Response:
        return httpx2.put(self.url(number, len(data)), content=data)

    def put_all(self, data: bytes) -> None:
        for number, start in enumerate(range(0, len(data), PART), 1):
            assert self.put(number, data[start : start + PART]).status_code == 200

    def complete(self, digest: str, size: int) -> None:
        self.store.complete_upload(self.key, self.name, digest=digest, size=size)

    def refused(self, digest: str, size: int, code: str) -> Problem:
        with pytest.raises(Problem) as caught:
            self.complete(digest, size)
        assert caught.value.code == code, caught.value.detail
        return caught.value


@pytest.fixture
def upload(store: ObjectStore) -> Upload:
    return Upload.begin(store)


@pytest.fixture
def data() -> bytes:
    return os.urandom(2 * PART + 1234)


def test_parts_become_an_object(upload: Upload, backdoor: Backdoor, data: bytes) -> None:
    digest = digest_bytes(data)
    keys, _ = backdoor.contents()
    upload.put_all(data)
    assert not upload.store.exists(digest)
    upload.complete(digest, len(data))
    assert upload.store.get_bytes(digest) == data
    after, open_uploads = backdoor.contents()
    assert len(after - keys) == 1, "the object, and no staging object"
    assert upload.name not in open_uploads


def test_parts_in_any_order_and_twice(upload: Upload, data: bytes) -> None:
    upload.put(3, data[2 * PART :])
    upload.put(1, data[:PART])
    upload.put(2, data[PART : 2 * PART])
    # as after an answer that was lost
    upload.put(1, data[:PART])
    upload.complete(digest_bytes(data), len(data))
    assert upload.store.get_bytes(digest_bytes(data)) == data


def test_missing_parts_can_follow(upload: Upload, data: bytes) -> None:
    digest = digest_bytes(data)
    upload.refused(digest, len(data), "upload_incomplete")
    upload.put(1, data[:PART])
    upload.put(3, data[2 * PART :])
    told = upload.refused(digest, len(data), "upload_incomplete")
    assert f"of {len(data)} bytes" in told.detail
    assert "2 parts" in told.detail
    upload.put(2, data[PART : 2 * PART])
    upload.complete(digest, len(data))
    assert upload.store.get_bytes(digest) == data


def test_wrong_bytes_are_refused(upload: Upload, backdoor: Backdoor, data: bytes) -> None:
    keys, _ = backdoor.contents()
    upload.put_all(data[:-1] + bytes([data[-1] ^ 1]))
    upload.refused(digest_bytes(data), len(data), "digest_mismatch")
    after, open_uploads = backdoor.contents()
    assert after == keys
    assert upload.name not in open_uploads
    # the upload is over: nothing can be put in its place unseen
    assert upload.put(1, data[:PART]).status_code == 404
    upload.refused(digest_bytes(data), len(data), "conflict")


def test_too_many_bytes_are_refused(upload: Upload, backdoor: Backdoor, data: bytes) -> None:
    keys, _ = backdoor.contents()
    upload.put_all(data)
    upload.refused(digest_bytes(data), len(data) - 1, "digest_mismatch")
    after, open_uploads = backdoor.contents()
    assert after == keys
    assert upload.name not in open_uploads


def test_a_digest_alone_gives_nothing(upload: Upload, data: bytes) -> None:
    """An object that is there already does not complete the upload of someone without it."""
    digest = upload.store.put_bytes(data)
    upload.refused(digest, len(data), "upload_incomplete")
    upload.put_all(os.urandom(len(data)))
    upload.refused(digest, len(data), "digest_mismatch")
    assert upload.store.get_bytes(digest) == data


def test_an_interrupted_completion_goes_on(upload: Upload, backdoor: Backdoor, data: bytes) -> None:
    """The process died after the parts were put together and before they were verified."""
    digest = digest_bytes(data)
    upload.put_all(data)
    parts = backdoor.client._list_parts(backdoor.bucket, upload.key, upload.name).parts
    backdoor.client._complete_multipart_upload(backdoor.bucket, upload.key, upload.name, parts)
    upload.complete(digest, len(data))
    assert upload.store.get_bytes(digest) == data
    assert upload.key not in set(upload.store.keys("uploads/"))


def test_aborting_leaves_nothing(upload: Upload, backdoor: Backdoor, data: bytes) -> None:
    keys, _ = backdoor.contents()
    upload.put(1, data[:PART])
    upload.store.abort_upload(upload.key, upload.name)
    upload.store.abort_upload(upload.key, upload.name)
    after, open_uploads = backdoor.contents()
    assert after == keys
    assert upload.name not in open_uploads
    assert upload.put(2, data[:PART]).status_code == 404
    upload.refused(digest_bytes(data), len(data), "conflict")


def test_a_url_is_for_its_part_only(upload: Upload, data: bytes) -> None:
    url = upload.url(1, 1)
    assert httpx2.put(url.replace("partNumber=1", "partNumber=2"), content=b"x").status_code == 403
    assert httpx2.get(url).status_code == 403
    for number in (0, 10_001):
        with pytest.raises(ValueError, match="outside 1 to 10000"):
            upload.url(number, 1)


def test_callers_may_see_the_server_under_another_name(settings: Settings, data: bytes) -> None:
    inside = urlsplit(settings.s3_endpoint)
    assert inside.hostname == "127.0.0.1"
    outside = f"{inside.scheme}://localhost:{inside.port}"
    seen = settings.model_copy(update={"s3_public_endpoint": outside})
    upload = Upload.begin(ObjectStore.from_settings(seen))
    url = upload.url(1, len(data))
    assert url.startswith(f"{outside}/")
    # the signature is over the name that is called
    assert httpx2.put(url.replace("localhost", "127.0.0.1"), content=data).status_code == 403
    assert httpx2.put(url, content=data).status_code == 200
    upload.complete(digest_bytes(data), len(data))
    assert upload.store.get_bytes(digest_bytes(data)) == data


def test_only_uploads_keys(store: ObjectStore, data: bytes) -> None:
    for key in ("uploads/x", "objects/ab/cd/ef", "uploads/../objects"):
        with pytest.raises(ValueError, match="not an upload's key"):
            store.begin_upload(key)
        with pytest.raises(ValueError, match="not an upload's key"):
            store.abort_upload(key, "x")
