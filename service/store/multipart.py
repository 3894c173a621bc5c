"""Multipart uploads that callers send straight to the server, as S3 has them.

Owns the SDK's unpublished calls, which are all it has for this; nothing else uses them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from minio import Minio
from minio.datatypes import Part
from minio.error import S3Error

#: S3's own limit on the parts of one upload.
MOST_PARTS: Final = 10_000


@dataclass(frozen=True)
class Multipart:
    """One multipart upload: its key and the server's name for it."""

    client: Minio
    bucket: str
    key: str
    s3_upload_id: str

    @classmethod
    def begin(cls, client: Minio, bucket: str, key: str) -> Multipart:
        """Begins one. Raises the SDK's errors, as everything here does."""
        started: str = client._create_multipart_upload(bucket, key, {})
        return cls(client, bucket, key, started)

    def presign(self, number: int, expires: timedelta) -> str:
        """A URL to PUT one part's bytes to. No request is made."""
        url: str = self.client.get_presigned_url(
            "PUT",
            self.bucket,
            self.key,
            expires=expires,
            extra_query_params={"partNumber": str(number), "uploadId": self.s3_upload_id},
        )
        return url

    def parts(self) -> list[Part] | None:
        """The parts that the server holds, in order; None when it knows no such upload.

        A part that was sent again replaces the earlier one, which some servers list all the same.
        """
        latest: dict[int, Part] = {}
        after: str | None = None
        while True:
            try:
                page = self.client._list_parts(
                    self.bucket, self.key, self.s3_upload_id, part_number_marker=after
                )
            except S3Error as error:
                if error.code == "NoSuchUpload":
                    return None
                raise
            for part in page.parts:
                rival = latest.get(part.part_number)
                if rival is None or _moment(rival) <= _moment(part):
                    latest[part.part_number] = part
            if not page.is_truncated or not page.parts:
                return [latest[number] for number in sorted(latest)]
            after = str(page.parts[-1].part_number)

    def assemble(self, parts: list[Part]) -> None:
        """Makes the object of its parts."""
        self.client._complete_multipart_upload(self.bucket, self.key, self.s3_upload_id, parts)

    def abort(self) -> None:
        """Gives it up, parts and all; no fault when the server knows it no more."""
        try:
            self.client._abort_multipart_upload(self.bucket, self.key, self.s3_upload_id)
        except S3Error as error:
            if error.code != "NoSuchUpload":
                raise


def _moment(part: Part) -> float:
    return part.last_modified.timestamp() if part.last_modified else 0.0
