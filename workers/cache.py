"""Objects on this machine's disk, by digest: each fetched once, verified, and shared read-only.

Owns the cache folder and its size. Several worker processes share one folder: a file appears
under its name in one step, complete and verified or not at all, and the least recently used go
first when the folder outgrows its limit. What a unit holds open by path is kept until it is
released: a name is given once and taken away only under the file's own exclusive lock, so no file
ever takes the place of one that somebody holds.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from service.domain.digests import hex_of

#: Streams an object's verified bytes into a path that does not exist yet.
Fetch = Callable[[str, Path], None]

_NO_ROOM: Final = frozenset((errno.ENOSPC, errno.EDQUOT))


@dataclass(frozen=True)
class _Entry:
    path: Path
    size: int
    used: float


class ObjectCache:
    """A folder of objects. Safe for many processes at once."""

    def __init__(self, folder: Path, *, limit_bytes: int, fetch: Fetch) -> None:
        """Makes the folder, readable by the owner alone. Raises OSError when it cannot."""
        self._folder = folder
        self._limit_bytes = limit_bytes
        self._fetch = fetch
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    @property
    def folder(self) -> Path:
        return self._folder

    @contextlib.contextmanager
    def holding(self) -> Iterator[Held]:
        """A context within which the paths it hands out stay."""
        held = Held(self)
        try:
            yield held
        finally:
            held.close()

    def open(self, digest: str) -> tuple[Path, int]:
        """The object's path and a descriptor with a shared lock, which keeps it from eviction.

        Raises whatever the fetch raises: Problem when the store is away or the bytes are wrong,
        OSError when this machine has no room for it.
        """
        path = self._folder / hex_of(digest)
        while True:
            descriptor = self._lock(path)
            if descriptor is not None:
                # of the file in hand: whatever may have become of its name
                os.utime(descriptor)
                return path, descriptor
            self._bring(digest, path)

    def put(self, digest: str, data: bytes) -> None:
        """Keeps bytes at hand that were just stored under `digest`."""
        path = self._folder / hex_of(digest)
        if path.exists():
            return
        descriptor, temporary = tempfile.mkstemp(dir=self._folder, prefix=".put-")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
            self._name(temporary, path)
        finally:
            os.unlink(temporary)
        self._trim()

    def make_room(self, wanted: int) -> int:
        """Lets the least recently used go until `wanted` bytes are free, if that many can be.

        Returns:
            Bytes free on the folder's file system.
        Raises:
            OSError: the folder cannot be read.
        """
        if (free := self._free()) >= wanted:
            return free
        for entry in sorted(self._entries(), key=lambda entry: entry.used):
            if self._evict(entry.path) and (free := self._free()) >= wanted:
                break
        return self._free()

    def _free(self) -> int:
        system = os.statvfs(self._folder)
        return system.f_bavail * system.f_frsize

    def _bring(self, digest: str, path: Path) -> None:
        with tempfile.TemporaryDirectory(dir=self._folder, prefix=".fetch-") as folder:
            temporary = Path(folder) / path.name
            try:
                self._fetch(digest, temporary)
            except OSError as error:
                if error.errno not in _NO_ROOM:
                    raise
                # the disk is smaller than the cache's limit: everything that nobody holds may go
                self.make_room(sys.maxsize)
                self._fetch(digest, temporary)
            self._name(temporary, path)
        self._trim(keep=path)

    @staticmethod
    def _name(temporary: str | Path, path: Path) -> None:
        """Gives a complete file its name, unless another process was first.

        A rename would put a file that nobody has locked where a locked one stood.
        """
        with contextlib.suppress(FileExistsError):
            os.link(temporary, path)

    @staticmethod
    def _lock(path: Path) -> int | None:
        """A descriptor of the file under a shared lock, or None when there is no such file."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        # it may have been evicted, and fetched again, between the two lines above
        if not _still_named(descriptor, path):
            os.close(descriptor)
            return None
        return descriptor

    def _trim(self, keep: Path | None = None) -> None:
        entries = sorted(self._entries(), key=lambda entry: entry.used)
        excess = sum(entry.size for entry in entries) - self._limit_bytes
        for entry in entries:
            if excess <= 0:
                return
            if entry.path != keep and self._evict(entry.path):
                excess -= entry.size

    def _entries(self) -> Iterator[_Entry]:
        with os.scandir(self._folder) as found:
            for item in found:
                if item.name.startswith("."):
                    continue
                with contextlib.suppress(FileNotFoundError):
                    status = item.stat()
                    yield _Entry(Path(item.path), status.st_size, status.st_mtime)

    @staticmethod
    def _evict(path: Path) -> bool:
        """Removes a file that nobody holds."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # another may have evicted it and a third fetched it again: that one is not locked here
            if not _still_named(descriptor, path):
                return False
            os.unlink(path)
        except BlockingIOError:
            return False
        finally:
            os.close(descriptor)
        return True


def _still_named(descriptor: int, path: Path) -> bool:
    """Whether the path leads to the file that the descriptor has open."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


class Held:
    """Paths handed out of a cache, kept from eviction until `close`."""

    def __init__(self, cache: ObjectCache) -> None:
        self._cache = cache
        self._paths: dict[str, Path] = {}
        self._descriptors: list[int] = []

    def path(self, digest: str) -> Path:
        """The verified object's path. Raises Problem when it cannot be had."""
        if digest not in self._paths:
            path, descriptor = self._cache.open(digest)
            self._descriptors.append(descriptor)
            self._paths[digest] = path
        return self._paths[digest]

    def close(self) -> None:
        for descriptor in self._descriptors:
            os.close(descriptor)
        self._descriptors.clear()
        self._paths.clear()
