"""A store of each test's own view of the session's bucket, and a look behind its back."""

from __future__ import annotations

import io
from dataclasses import dataclass

import pytest
from minio import Minio

from service.settings import Settings
from service.store.connection import connect
from service.store.keys import object_key
from service.store.objects import ObjectStore


@dataclass(frozen=True)
class Backdoor:
    """The bucket as the S3 server has it, past everything that the store promises."""

    client: Minio
    bucket: str

    def overwrite(self, digest: str, data: bytes) -> None:
        """Damages an object."""
        self.client.put_object(self.bucket, object_key(digest), io.BytesIO(data), len(data))

    def remove(self, digest: str) -> None:
        self.client.remove_object(self.bucket, object_key(digest))

    def contents(self) -> tuple[set[str], set[str]]:
        """Every key, and every multipart upload that is still open."""
        keys = {str(o.object_name) for o in self.client.list_objects(self.bucket, recursive=True)}
        uploads = self.client._list_multipart_uploads(self.bucket).uploads
        return keys, {str(upload.upload_id) for upload in uploads}


@pytest.fixture(scope="session")
def store(settings: Settings) -> ObjectStore:
    made = ObjectStore.from_settings(settings)
    made.ensure_bucket()
    return made


@pytest.fixture
def backdoor(settings: Settings, store: ObjectStore) -> Backdoor:
    return Backdoor(connect(settings), settings.s3_bucket)
