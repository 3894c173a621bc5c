"""The object cache: one fetch, verified files only, eviction that spares what is in use."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from service.domain.digests import digest_bytes
from workers.cache import ObjectCache


class Origin:
    """Objects to fetch, and how often each was."""

    def __init__(self, *objects: bytes) -> None:
        self.objects = {digest_bytes(data): data for data in objects}
        self.fetched: list[str] = []

    def fetch(self, digest: str, path: Path) -> None:
        self.fetched.append(digest)
        path.write_bytes(self.objects[digest])


def _cache(folder: Path, fetch: Callable[[str, Path], None], limit: int = 1 << 20) -> ObjectCache:
    return ObjectCache(folder / "cache", limit_bytes=limit, fetch=fetch)


def _backdate(path: Path, seconds: int) -> None:
    status = path.stat()
    os.utime(path, (status.st_atime - seconds, status.st_mtime - seconds))


def test_an_object_is_fetched_once(tmp_path: Path) -> None:
    origin = Origin(b"weights")
    cache = _cache(tmp_path, origin.fetch)
    (digest,) = origin.objects
    for _ in range(2):
        with cache.holding() as held:
            assert held.path(digest).read_bytes() == b"weights"
            assert held.path(digest) == held.path(digest)
    assert origin.fetched == [digest]


def test_a_fetch_that_fails_leaves_nothing(tmp_path: Path) -> None:
    digest = digest_bytes(b"weights")

    def fetch(_digest: str, path: Path) -> None:
        path.write_bytes(b"weig")
        raise ConnectionError("the store went away")

    cache = _cache(tmp_path, fetch)
    with cache.holding() as held, pytest.raises(ConnectionError):
        held.path(digest)
    assert list(cache.folder.iterdir()) == []


def test_the_least_recently_used_goes_first(tmp_path: Path) -> None:
    origin = Origin(b"a" * 40, b"b" * 40, b"c" * 40)
    cache = _cache(tmp_path, origin.fetch, limit=100)
    a, b, c = origin.objects
    with cache.holding() as held:
        _backdate(held.path(a), 20)
        _backdate(held.path(b), 10)
    with cache.holding() as held:
        held.path(a)  # used again, so b is the oldest now
    with cache.holding() as held:
        held.path(c)
        assert {path.name for path in cache.folder.iterdir()} == {
            a.removeprefix("sha256:"),
            c.removeprefix("sha256:"),
        }


def test_what_is_held_stays_even_beyond_the_limit(tmp_path: Path) -> None:
    origin = Origin(b"a" * 80, b"b" * 80)
    cache = _cache(tmp_path, origin.fetch, limit=100)
    a, b = origin.objects
    with cache.holding() as held:
        first = held.path(a)
        _backdate(first, 60)
        with cache.holding() as other:
            other.path(b)
        assert first.exists()


def test_bytes_just_stored_need_no_fetch(tmp_path: Path) -> None:
    origin = Origin()
    cache = _cache(tmp_path, origin.fetch)
    digest = digest_bytes(b"direction")
    cache.put(digest, b"direction")
    cache.put(digest, b"direction")
    with cache.holding() as held:
        assert held.path(digest).read_bytes() == b"direction"
    assert origin.fetched == []


def test_processes_that_fetch_the_same_at_once_all_get_it(tmp_path: Path) -> None:
    origin = Origin(*(bytes([i]) * 50 for i in range(6)))
    # each thread has its own cache over one folder, as processes have; the limit forces evictions
    wrong: list[str] = []
    begin = threading.Barrier(6)

    def use() -> None:
        cache = _cache(tmp_path, origin.fetch, limit=120)
        begin.wait()
        for _ in range(20):
            for digest, data in origin.objects.items():
                with cache.holding() as held:
                    if held.path(digest).read_bytes() != data:
                        wrong.append(digest)

    threads = [threading.Thread(target=use) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert sum(p.stat().st_size for p in (tmp_path / "cache").iterdir()) <= 120 + 50 * 6


def test_a_late_fetch_takes_no_held_files_place(tmp_path: Path) -> None:
    (digest,) = Origin(b"weights").objects
    with ObjectCache(
        tmp_path / "cache", limit_bytes=1, fetch=_writes(b"weights")
    ).holding() as held:

        def fetch(_: str, path: Path) -> None:
            # while this one was under way, another process fetched the same and holds it
            held.path(digest)
            path.write_bytes(b"weights")

        with _cache(tmp_path, fetch).holding() as late:
            late.path(digest)
        _cache(tmp_path, fetch, limit=1).put(digest_bytes(b"new"), b"new")
        assert held.path(digest).read_bytes() == b"weights"


def _writes(data: bytes) -> Callable[[str, Path], None]:
    def fetch(_: str, path: Path) -> None:
        path.write_bytes(data)

    return fetch
