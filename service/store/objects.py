"""The object store: bytes by their digest, in one bucket of an S3 server.

Owns the promise that the bytes under a digest are its bytes: nothing becomes visible before it is
verified, and nothing is served whole that does not verify. Each request declares the digest of its
body as well (over TLS its MD5), so the server refuses what is damaged on the way. Who may read
what, and which objects exist, is the ledger's to say.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

from minio import Minio
from minio.commonconfig import CopySource
from minio.error import S3Error

from service.domain.digests import digest_bytes, hex_of
from service.domain.problems import Problem
from service.settings import Settings
from service.store import keys
from service.store.connection import connect, is_missing, outages_told, unavailable
from service.store.multipart import MOST_PARTS, Multipart, Unfinished, unfinished
from service.store.presigning import Credentials
from service.store.verifying import Source, VerifiedSource, corrupt, verified

_BINARY: Final = "application/octet-stream"
_CHUNK_BYTES: Final = 1 << 20
#: A few parts are in memory at once; of an unknown size, parts must suffice for 156 GiB.
_PART_BYTES: Final = 8 << 20
_PART_BYTES_UNKNOWN: Final = 16 << 20
_MOST_BYTES_IN_MEMORY: Final = 1 << 30
_FIGURE_BYTES: Final = 256 << 20
_PROBE_SECONDS: Final = 3.0
#: Read back to see whether the store works: too large to be kept among its server's metadata.
_CANARY: Final = b"lossatlas reads this back\n" * 2600
#: Putting an object together of its parts, or copying it, is silent work of the server's.
_PUBLISH_SECONDS: Final = 600.0


@dataclass(frozen=True)
class _Opened:
    """An answer whose body is still to come.

    Attributes:
        total: bytes of the whole object, of which the body may be a part.
        ranged: whether the server heeded a range.
    """

    response: Any
    total: int
    ranged: bool

    def pieces(self) -> Iterator[bytes]:
        """The body, a MiB at a time. Raises Problem `unavailable` when it breaks off."""
        try:
            with outages_told():
                yield from self.response.stream(_CHUNK_BYTES, decode_content=False)
        finally:
            self.close()

    def close(self) -> None:
        # a body read to its end has given its connection back by now; another is not worth reading
        self.response.close()
        self.response.release_conn()


class ObjectStore:
    """The service's bucket. Safe to share between threads; make a new one after a fork.

    Every method raises Problem `unavailable` within seconds when the server is away.
    """

    def __init__(
        self,
        client: Minio,
        probe: Minio,
        publisher: Minio,
        public: Minio,
        credentials: Credentials,
        bucket: str,
    ) -> None:
        self._client = client
        self._public = public
        self._credentials = credentials
        self._probe = probe
        self._publisher = publisher
        self._bucket = bucket

    @classmethod
    def from_settings(cls, settings: Settings) -> ObjectStore:
        """Makes no request. Raises ValueError for settings that cannot be right."""
        return cls(
            connect(settings),
            connect(settings, read_seconds=_PROBE_SECONDS),
            connect(settings, read_seconds=_PUBLISH_SECONDS),
            connect(settings, public=True),
            Credentials(
                settings.s3_access_key,
                settings.s3_secret_key.get_secret_value(),
                settings.s3_region,
            ),
            settings.s3_bucket,
        )

    def ensure_bucket(self) -> None:
        """Makes the bucket unless it is there."""
        with outages_told():
            if self._client.bucket_exists(self._bucket):
                return
            try:
                self._client.make_bucket(self._bucket)
            except S3Error as error:
                # another process was faster; a stranger's bucket of this name does not let us in
                if error.code not in {"BucketAlreadyOwnedByYou", "BucketAlreadyExists"}:
                    raise

    def ping(self) -> None:
        """Raises Problem `unavailable` unless the server answers and has the bucket."""
        with outages_told():
            found = self._probe.bucket_exists(self._bucket)
        if not found:
            raise unavailable(
                "the object store has no such bucket; the operator must check S3_BUCKET"
            )

    # objects

    def put_bytes(
        self, data: bytes, digest: str | None = None, *, content_type: str = _BINARY
    ) -> str:
        """Stores bytes at hand; their digest. Doing so again changes nothing, unless what the
        store holds is damaged by now: then it is written over.

        Raises:
            Problem: `digest_mismatch` when `digest` is given and is another.
        """
        actual = digest_bytes(data)
        if digest is not None and digest != actual:
            raise Problem(
                "digest_mismatch", f"the bytes have digest {actual}, not {digest}; nothing stored"
            )
        key = keys.object_key(actual)
        if not self.holds(actual, len(data)):
            self._put(key, io.BytesIO(data), len(data), content_type=content_type)
        return actual

    def put_stream(self, digest: str, source: Source, *, size: int | None = None) -> int:
        """Stores a stream in constant memory and verifies it meanwhile; how many bytes it had.

        The source is read to its end and verified even when the object is there already: whoever
        sends bytes shows that they have them. What is there is read back as well, and written over
        when it is not what it should be.

        Args:
            size: bytes to come, if they were announced.

        Raises:
            ValueError: `digest` is not one.
            Problem: `digest_mismatch`, `upload_incomplete`, with nothing stored.
        """
        key = keys.object_key(digest)
        checked = VerifiedSource(source, digest, size)
        if self.holds(digest, size):
            return checked.drain()
        # the length is announced as unknown, so that the SDK reads to the end, where a wrong
        # digest is raised before the last part or the request that makes the object visible
        self._put(key, checked, -1, part_size=_part_bytes(size))
        return checked.count

    def size(self, digest: str) -> int:
        """An object's size in bytes.

        Raises:
            ValueError: `digest` is not one.
            Problem: `object_corrupt` when it is not there: who asks knows it from a record.
        """
        stored = self._size_at(keys.object_key(digest))
        if stored is None:
            raise self._missing(digest)
        return stored

    def holds(self, digest: str, size: int | None = None) -> bool:
        """Whether the very bytes are there: read back and verified, in constant memory.

        False as well where they cannot be read: then they are written over, or the attempt says
        that the store is away.

        Raises:
            ValueError: `digest` is not one.
        """
        stored = self._size_at(keys.object_key(digest))
        if stored is None or size not in (None, stored):
            return False
        try:
            for _ in verified(self._open(digest).pieces(), digest):
                pass
        except Problem:
            return False
        return True

    def exists(self, digest: str) -> bool:
        """Whether there is an object. Raises ValueError when `digest` is not one."""
        return self._size_at(keys.object_key(digest)) is not None

    def get_bytes(self, digest: str, *, max_bytes: int = _MOST_BYTES_IN_MEMORY) -> bytes:
        """An object's bytes, verified.

        Raises:
            ValueError: `digest` is not one.
            Problem: `object_corrupt` when they are missing or others, `object_invalid` when there
                are more than `max_bytes`.
        """
        opened = self._open(digest)
        if opened.total > max_bytes:
            opened.close()
            raise Problem(
                "object_invalid",
                f"the object {digest} has {opened.total} bytes; at most {max_bytes} are read here",
            )
        return b"".join(verified(opened.pieces(), digest))

    def serves_others(self, digest: str) -> bool:
        """Whether another object can be written, if need be, and read back, right now.

        Tells one rotten object from a store that is away.
        """
        other = _CANARY if digest != digest_bytes(_CANARY) else _CANARY[:-1]
        try:
            return self.get_bytes(self.put_bytes(other)) == other
        except Problem:
            return False

    def open_range(self, digest: str, start: int, stop: int) -> Iterator[bytes]:
        """Bytes `start` to `stop`, which is not included, in pieces of at most a MiB.

        The request is made at once, so that its problems come before the first piece. A range of
        the whole object is verified: its last piece comes only if all was right. A part of an
        object cannot be verified.

        Raises:
            ValueError: no range, or `digest` is not one.
            Problem: `object_corrupt` when the object is missing, shorter or (whole) another.
        """
        if not 0 <= start <= stop:
            raise ValueError(f"no range: {start} to {stop}")
        if start == stop:
            hex_of(digest)
            return iter(())
        opened = self._open(digest, start, stop)
        if stop > opened.total:
            opened.close()
            raise corrupt(digest, f"it has {opened.total} bytes and not {stop}")
        whole = start == 0 and stop == opened.total
        if not opened.ranged and not whole:
            opened.close()
            raise unavailable("the object store does not serve ranges")
        pieces = opened.pieces()
        return verified(pieces, digest) if whole else pieces

    def fetch_to(self, digest: str, path: Path) -> None:
        """Writes an object, verified, to a path that does not exist: whole afterwards or absent.

        Raises:
            FileExistsError: `path` exists.
            ValueError: `digest` is not one.
            Problem: `object_corrupt` when it is missing or another.
        """
        if path.exists():
            raise FileExistsError(path)
        opened = self._open(digest)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".fetch-")
        try:
            with os.fdopen(descriptor, "wb") as file:
                for piece in verified(opened.pieces(), digest):
                    file.write(piece)
            os.rename(temporary, path)
        except BaseException:
            opened.close()
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
            raise

    def keys(self, prefix: str = "") -> Iterator[str]:
        """Every key of the bucket that begins so."""
        with outages_told():
            for found in self._client.list_objects(self._bucket, prefix=prefix, recursive=True):
                yield str(found.object_name)

    # figures, which can be drawn again

    def get_cached(self, key: str) -> bytes | None:
        """A figure's bytes; None when there is none, or one that was damaged.

        Raises:
            ValueError: `key` is not a figure's.
        """
        try:
            with outages_told():
                response = self._client.get_object(self._bucket, keys.require_figure_key(key))
        except S3Error as error:
            if is_missing(error):
                return None
            raise
        opened = _Opened(response, int(response.headers.get("content-length", "0")), False)
        if opened.total > _FIGURE_BYTES:
            opened.close()
            return None
        data = b"".join(opened.pieces())
        kept = response.headers.get("x-amz-meta-sha256")
        return data if kept == hashlib.sha256(data).hexdigest() else None

    def put_cached(self, key: str, data: bytes, media_type: str) -> None:
        """Keeps a figure, with its digest beside it.

        Raises:
            ValueError: `key` is not a figure's.
        """
        self._put(
            keys.require_figure_key(key),
            io.BytesIO(data),
            len(data),
            content_type=media_type,
            sha256=hashlib.sha256(data).hexdigest(),
        )

    # uploads straight to the server

    def begin_upload(self, upload_key: str) -> str:
        """Begins a multipart upload at `keys.upload_key(…)`; the server's id of it.

        Raises:
            ValueError: `upload_key` is not an upload's.
        """
        key = keys.require_upload_key(upload_key)
        with outages_told():
            return Multipart.begin(self._client, self._bucket, key).s3_upload_id

    def presign_parts(
        self, upload_key: str, s3_upload_id: str, lengths: Mapping[int, int], expires: timedelta
    ) -> dict[int, str]:
        """For each part a URL that takes so many bytes by PUT, without credentials, for a while.

        Args:
            lengths: of the parts in bytes, by their numbers; the server refuses any other length.

        Raises:
            ValueError: not an upload's key, a number outside 1…10,000, or an expiry outside one
                second to seven days.
        """
        for number in lengths:
            if not 1 <= number <= MOST_PARTS:
                raise ValueError(f"part {number} is outside 1 to {MOST_PARTS}")
        key = keys.require_upload_key(upload_key)
        return Multipart(self._public, self._bucket, key, s3_upload_id).presign(
            lengths,
            by=self._credentials,
            at=datetime.now(UTC),
            seconds=int(expires.total_seconds()),
        )

    def holds_too_much(self, upload_key: str, s3_upload_id: str, size: int) -> bool:
        """Whether the server holds more of an upload than an honest caller of `size` bytes sends.

        Addresses can be used again while they hold, and not every server forgets what a part was
        before.

        Raises:
            ValueError: not an upload's key.
        """
        with outages_told():
            held = self._multipart(upload_key, s3_upload_id).held()
        return held is not None and held.is_too_much(size)

    def unfinished_uploads(self) -> list[Unfinished]:
        """What the server has begun and not ended under keys of ours, whoever began it."""
        with outages_told():
            return [one for one in unfinished(self._client, self._bucket) if keys.is_ours(one.key)]

    def abort_unfinished(self, one: Unfinished) -> None:
        """Ends such a one, with what was sent. Doing so again changes nothing."""
        with outages_told():
            Multipart(self._publisher, self._bucket, one.key, one.s3_upload_id).abort()

    def staged(self) -> Iterator[tuple[str, datetime | None]]:
        """Uploads that were put together and are not published: their keys, and since when."""
        with outages_told():
            for found in self._client.list_objects(
                self._bucket, prefix=keys.UPLOADS, recursive=True
            ):
                yield str(found.object_name), found.last_modified

    def remove_staged(self, upload_key: str) -> None:
        """Removes such a one. Raises ValueError: not an upload's key."""
        key = keys.require_upload_key(upload_key)
        with outages_told():
            self._client.remove_object(self._bucket, key)

    def complete_upload(
        self, upload_key: str, s3_upload_id: str, *, digest: str, size: int
    ) -> None:
        """Puts an upload's parts together, verifies them and publishes them under their digest.

        The parts are put together out of sight, read back in constant memory, and copied by the
        server only if they are right, and still the ones that were read. May be called again after
        an interruption.

        Raises:
            ValueError: not an upload's key, or `digest` is not one.
            Problem: `upload_incomplete` while parts are missing, and the upload stays open;
                `digest_mismatch` for other bytes, and the upload is gone; `conflict` when the
                server knows neither the upload nor its bytes.
        """
        target = keys.object_key(digest)
        upload = self._multipart(upload_key, s3_upload_id)
        with outages_told():
            held = upload.held()
            if held is not None:
                sent, parts = held.bytes, held.parts
                if sent < size or not parts:
                    raise Problem(
                        "upload_incomplete",
                        f"{sent} of {size} bytes have arrived, in {len(parts)} parts; send the "
                        "missing parts and complete the upload again",
                    )
                if sent > size:
                    self.abort_upload(upload_key, s3_upload_id)
                    raise Problem(
                        "digest_mismatch",
                        f"{sent} bytes were sent and {size} were announced; nothing was stored",
                    )
                upload.assemble(parts)
        self._publish(upload.key, target, digest, size)

    def abort_upload(self, upload_key: str, s3_upload_id: str) -> None:
        """Gives an upload up and removes what was sent. Doing so again changes nothing.

        Raises:
            ValueError: not an upload's key.
        """
        upload = self._multipart(upload_key, s3_upload_id)
        with outages_told():
            upload.abort()
            self._client.remove_object(self._bucket, upload.key)

    # inside

    def _multipart(self, upload_key: str, s3_upload_id: str) -> Multipart:
        key = keys.require_upload_key(upload_key)
        return Multipart(self._publisher, self._bucket, key, s3_upload_id)

    def _publish(self, staging: str, target: str, digest: str, size: int) -> None:
        """Verifies what lies at `staging` and copies it to `target`; removes it either way."""
        try:
            with outages_told():
                response = self._client.get_object(self._bucket, staging)
        except S3Error as error:
            if is_missing(error):
                raise Problem(
                    "conflict", "the store does not know this upload any more; begin a new one"
                ) from error
            raise
        opened = _Opened(response, int(response.headers["content-length"]), False)
        state = hashlib.sha256()
        for piece in opened.pieces():
            state.update(piece)
        if state.hexdigest() != hex_of(digest) or opened.total != size:
            with outages_told():
                self._client.remove_object(self._bucket, staging)
            raise Problem(
                "digest_mismatch",
                f"the {opened.total} bytes sent have digest sha256:{state.hexdigest()}, not "
                f"{digest}; nothing was stored",
            )
        with outages_told():
            if not self.holds(digest, size):
                # the tag holds the copy to the very bytes that were read
                source = CopySource(
                    self._bucket, staging, match_etag=response.headers["etag"].strip('"')
                )
                self._publisher.copy_object(self._bucket, target, source)
                self._require_stored(target, size)
            self._client.remove_object(self._bucket, staging)

    def _put(
        self,
        key: str,
        source: Source,
        length: int,
        *,
        part_size: int = 0,
        content_type: str = _BINARY,
        sha256: str | None = None,
    ) -> None:
        with outages_told():
            # one part at a time: threads would outlive a source that raises
            self._client.put_object(
                self._bucket,
                key,
                cast(BinaryIO, source),  # only `read` is used
                length,
                content_type=content_type,
                metadata=None if sha256 is None else {"sha256": sha256},
                part_size=part_size,
                num_parallel_uploads=1,
            )
        if isinstance(source, VerifiedSource):
            self._require_stored(key, source.count)

    def _require_stored(self, key: str, size: int) -> None:
        # S3 may answer 200 to a multipart's completion and say only in the body that it failed
        if self._size_at(key) != size:
            raise unavailable("the object store did not keep what it accepted")

    def _size_at(self, key: str) -> int | None:
        try:
            with outages_told():
                return int(self._client.stat_object(self._bucket, key).size or 0)
        except S3Error as error:
            if is_missing(error):
                return None
            raise

    def _missing(self, digest: str) -> Problem:
        # not every server says so when it is the bucket that is missing, and a wrong setting must
        # not make every object look lost for ever
        self.ping()
        return corrupt(digest, "the store does not hold it")

    def _open(self, digest: str, start: int = 0, stop: int = 0) -> _Opened:
        """Asks for an object, or for a part of it when `stop` is not 0."""
        key = keys.object_key(digest)
        try:
            with outages_told():
                response = self._client.get_object(
                    self._bucket, key, offset=start, length=stop - start
                )
        except S3Error as error:
            if is_missing(error):
                raise self._missing(digest) from error
            if error.code == "InvalidRange":
                raise corrupt(digest, f"it has fewer than {stop} bytes") from error
            raise
        # Content-Range: bytes 0-99/1234
        content_range = response.headers.get("content-range")
        if content_range is None:
            return _Opened(response, int(response.headers["content-length"]), ranged=False)
        return _Opened(response, int(content_range.rpartition("/")[2]), ranged=True)


def _part_bytes(size: int | None) -> int:
    if size is None:
        return _PART_BYTES_UNKNOWN
    return max(_PART_BYTES, -(-size // (MOST_PARTS - 1)))
