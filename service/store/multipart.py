"""Multipart uploads that callers send straight to the server, as S3 has them.

Owns the SDK's unpublished calls, which are all it has for this; nothing else uses them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from minio import Minio
from minio.datatypes import Part
from minio.error import S3Error

from service.store.presigning import Credentials, presign

#: S3's own limit on the parts of one upload.
MOST_PARTS: Final = 10_000
#: A server that keeps what was sent twice lists it too; nobody honest sends so much twice.
_MOST_LISTED: Final = 3 * MOST_PARTS
#: Small uploads are of one part, which may be lost more than once.
_AGAIN_BYTES: Final = 64 << 20


@dataclass(frozen=True)
class Held:
    """What the server holds of an upload.

    Attributes:
        parts: in order; of a part that was sent again, the later one.
        all_bytes: of the earlier ones too, which some servers keep until the end.
        all_parts: how many those are.
    """

    parts: list[Part]
    all_bytes: int
    all_parts: int

    @property
    def bytes(self) -> int:
        """Of the parts that count."""
        return sum(part.size or 0 for part in self.parts)

    def is_too_much(self, size: int) -> bool:
        """Whether more is held than sending `size` bytes, and what got lost again, can explain."""
        most = 2 * size + min(8 * size, _AGAIN_BYTES)
        return self.all_bytes > most or self.all_parts > 2 * MOST_PARTS


@dataclass(frozen=True)
class Unfinished:
    """A multipart upload that the server lists as begun."""

    key: str
    s3_upload_id: str
    begun: datetime | None


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

    def presign(
        self, lengths: Mapping[int, int], *, by: Credentials, at: datetime, seconds: int
    ) -> dict[int, str]:
        """For each part's number a URL to PUT so many bytes to, and no others. Makes no request.

        Args:
            lengths: of the parts in bytes, by their numbers.
        """
        # what the SDK signs here is left out again: it knows how the server is addressed
        bare = self.client.get_presigned_url("PUT", self.bucket, self.key).partition("?")[0]
        return {
            number: presign(
                "PUT",
                f"{bare}?partNumber={number}&uploadId={self.s3_upload_id}",
                by=by,
                at=at,
                seconds=seconds,
                headers={"Content-Length": str(length)},
            )
            for number, length in lengths.items()
        }

    def held(self) -> Held | None:
        """What the server holds; None when it knows no such upload."""
        latest: dict[int, Part] = {}
        all_bytes = all_parts = 0
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
                all_bytes += part.size or 0
                all_parts += 1
                rival = latest.get(part.part_number)
                if rival is None or _moment(rival) <= _moment(part):
                    latest[part.part_number] = part
            if not page.is_truncated or not page.parts or all_parts > _MOST_LISTED:
                return Held([latest[n] for n in sorted(latest)], all_bytes, all_parts)
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


def unfinished(client: Minio, bucket: str) -> Iterator[Unfinished]:
    """Every multipart upload that the bucket's server has begun and not ended, in any order."""
    seen: set[tuple[str, str]] = set()
    key: str | None = None
    name: str | None = None
    while True:
        page = client._list_multipart_uploads(bucket, key_marker=key, upload_id_marker=name)
        listed = [
            Unfinished(str(one.object_name), str(one.upload_id), one.initiated_time)
            for one in page.uploads
        ]
        # a server that pages in another way than it is asked must not keep us for ever
        new = [one for one in listed if (one.key, one.s3_upload_id) not in seen]
        yield from new
        if not page.is_truncated or not new:
            return
        seen |= {(one.key, one.s3_upload_id) for one in new}
        # some servers order by key, and say where they stopped; others order by id alone
        key, name = page.next_key_marker, listed[-1].s3_upload_id


def _moment(part: Part) -> float:
    return part.last_modified.timestamp() if part.last_modified else 0.0
