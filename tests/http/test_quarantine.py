"""A damaged object: told once, asked for from then on, and well again when its bytes come."""

from __future__ import annotations

import io
import secrets

from service.settings import Settings
from service.store.keys import object_key
from tests.features.caller import Caller
from tests.http.test_objects import digest_of
from tests.support.servers import minio


def cut(settings: Settings, digest: str) -> None:
    """Damages an object behind the service's back."""
    client = minio(
        {
            "S3_ENDPOINT": settings.s3_endpoint,
            "S3_ACCESS_KEY": settings.s3_access_key,
            "S3_SECRET_KEY": settings.s3_secret_key.get_secret_value(),
            "S3_REGION": settings.s3_region,
        }
    )
    client.put_object(settings.s3_bucket, object_key(digest), io.BytesIO(b"cut"), 3)


def test_what_a_reader_finds_damaged_is_asked_for(api: Caller, settings: Settings) -> None:
    data = secrets.token_bytes(5000)
    address = f"/v1/objects/{digest_of(data)}"
    assert api.http.put(address, content=data).status_code == 201
    assert api.http.head(address).status_code == 200
    cut(settings, digest_of(data))
    told = api.http.get(address)
    assert told.status_code == 500
    assert told.json()["code"] == "object_corrupt"
    assert "sending them again" in told.json()["detail"]
    # whoever has the bytes learns that they are wanted, and nobody builds on what is not there
    assert api.http.head(address).status_code == 404
    body = {"project": "alpha", "name": "cut", "object": digest_of(data), "split": "train"}
    assert api.http.post("/v1/datasets", json=body).json()["code"] == "object_missing"
    assert api.http.put(address, content=data).status_code in (200, 201)
    assert api.http.head(address).status_code == 200
    assert api.http.get(address).content == data


def test_a_part_alone_finds_it_too(api: Caller, settings: Settings) -> None:
    data = secrets.token_bytes(5000)
    address = f"/v1/objects/{digest_of(data)}"
    api.http.put(address, content=data)
    cut(settings, digest_of(data))
    assert api.http.get(address, headers={"Range": "bytes=100-199"}).status_code == 500
    assert api.http.head(address).status_code == 404
