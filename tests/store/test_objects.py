"""Bytes go in verified and come out verified, on a real S3 server."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from service.domain.digests import digest_bytes, hex_of
from service.domain.problems import Problem
from service.store.keys import figure_key, object_key
from service.store.objects import ObjectStore
from tests.store.conftest import Backdoor

LANDSCAPE = "lsc_01k" + "0" * 23


class Dribble:
    """A source that gives a few bytes at a time, as a socket does, and notes how much was asked."""

    def __init__(self, data: bytes, *, piece: int = 70_001) -> None:
        self._data = io.BytesIO(data)
        self._piece = piece

    def read(self, size: int) -> bytes:
        return self._data.read(min(size, self._piece))


class Breaking(Dribble):
    """A source whose sender goes away half-way."""

    def __init__(self, data: bytes, error: Exception) -> None:
        super().__init__(data)
        self._error = error

    def read(self, size: int) -> bytes:
        data = super().read(size)
        if not data:
            raise self._error
        return data


def fresh(size: int) -> bytes:
    """Bytes that nobody has stored yet."""
    return os.urandom(size)


def refused(call: Callable[[], object], code: str) -> Problem:
    with pytest.raises(Problem) as caught:
        call()
    assert caught.value.code == code, caught.value.detail
    return caught.value


# in


def test_bytes_come_back(store: ObjectStore) -> None:
    data = fresh(1000)
    digest = store.put_bytes(data)
    assert digest == digest_bytes(data)
    assert store.exists(digest)
    assert store.size(digest) == 1000
    assert store.get_bytes(digest) == data
    assert object_key(digest) in set(store.keys("objects/"))


def test_nothing_is_an_object_too(store: ObjectStore, tmp_path: Path) -> None:
    digest = store.put_bytes(b"")
    assert store.put_stream(digest, io.BytesIO(b""), size=0) == 0
    assert store.get_bytes(digest) == b""
    assert store.size(digest) == 0
    store.fetch_to(digest, tmp_path / "empty")
    assert (tmp_path / "empty").read_bytes() == b""


@pytest.mark.parametrize("announced", [True, False])
@pytest.mark.parametrize(
    "size",
    [1, (8 << 20) - 1, 8 << 20, (8 << 20) + 1, 16 << 20, (16 << 20) + 1, 40 << 20],
)
def test_streams_of_all_sizes(store: ObjectStore, size: int, announced: bool) -> None:
    data = fresh(size)
    digest = digest_bytes(data)
    assert store.put_stream(digest, Dribble(data), size=size if announced else None) == size
    assert store.get_bytes(digest) == data


def test_storing_again_sends_nothing(store: ObjectStore, backdoor: Backdoor) -> None:
    data = fresh(10_000)
    digest = store.put_bytes(data)
    # what a second upload would take away
    backdoor.client.put_object(
        backdoor.bucket, object_key(digest), io.BytesIO(data), len(data), metadata={"mark": "mine"}
    )
    assert store.put_bytes(data, digest) == digest
    assert store.put_stream(digest, Dribble(data), size=len(data)) == len(data)
    assert store.put_stream(digest, Dribble(data)) == len(data)
    kept = backdoor.client.stat_object(backdoor.bucket, object_key(digest))
    assert kept.metadata is not None
    assert kept.metadata["x-amz-meta-mark"] == "mine"


@pytest.mark.parametrize("announced", [True, False])
@pytest.mark.parametrize("size", [10_000, 9 << 20])
def test_storing_again_mends_what_is_damaged(
    store: ObjectStore, backdoor: Backdoor, size: int, announced: bool
) -> None:
    """Bytes of the same length behind the store's back: there is an object, and it is another."""
    data = fresh(size)
    digest = store.put_bytes(data)
    assert store.holds(digest)
    backdoor.overwrite(digest, data[::-1])
    assert not store.holds(digest)
    store.put_stream(digest, Dribble(data), size=size if announced else None)
    assert store.get_bytes(digest) == data
    backdoor.overwrite(digest, data[::-1])
    store.put_bytes(data)
    assert store.get_bytes(digest) == data


def test_who_sends_what_is_there_must_have_it(store: ObjectStore) -> None:
    data = fresh(5000)
    digest = store.put_bytes(data)
    other = data[:-1] + bytes([data[-1] ^ 1])
    refused(lambda: store.put_stream(digest, Dribble(other), size=5000), "digest_mismatch")
    refused(lambda: store.put_stream(digest, Dribble(b"")), "digest_mismatch")
    assert store.get_bytes(digest) == data


def test_a_cut_object_is_replaced(store: ObjectStore, backdoor: Backdoor) -> None:
    data = fresh(5000)
    digest = store.put_bytes(data)
    backdoor.overwrite(digest, data[:100])
    store.put_stream(digest, Dribble(data))
    assert store.get_bytes(digest) == data
    backdoor.overwrite(digest, data[:100])
    store.put_stream(digest, Dribble(data), size=len(data))
    assert store.get_bytes(digest) == data


@pytest.mark.parametrize("size", [1000, 8 << 20, 40 << 20])
@pytest.mark.parametrize("announced", [0, 1, -1, None])
def test_wrong_bytes_leave_nothing(
    store: ObjectStore, backdoor: Backdoor, size: int, announced: int | None
) -> None:
    data = fresh(size)
    wrong = digest_bytes(data + b"!")
    before = backdoor.contents()
    problem = refused(
        lambda: store.put_stream(
            wrong, Dribble(data), size=None if announced is None else size + announced
        ),
        "upload_incomplete" if announced == 1 else "digest_mismatch",
    )
    assert str(size) in problem.detail or str(size - 1) in problem.detail
    assert backdoor.contents() == before
    assert not store.exists(wrong)


@pytest.mark.parametrize("size", [1000, 40 << 20])
def test_a_sender_that_goes_away_leaves_nothing(
    store: ObjectStore, backdoor: Backdoor, size: int
) -> None:
    data = fresh(size)
    before = backdoor.contents()
    with pytest.raises(ConnectionResetError):
        store.put_stream(digest_bytes(data), Breaking(data, ConnectionResetError("gone")))
    assert backdoor.contents() == before


def test_put_bytes_holds_to_the_digest(store: ObjectStore, backdoor: Backdoor) -> None:
    before = backdoor.contents()
    refused(lambda: store.put_bytes(b"a", digest_bytes(b"b")), "digest_mismatch")
    assert backdoor.contents() == before


def test_many_threads_store_one_object(store: ObjectStore) -> None:
    data = fresh(9 << 20)
    digest = digest_bytes(data)
    together = threading.Barrier(6)

    def put(_: int) -> int:
        together.wait()
        return store.put_stream(digest, Dribble(data), size=len(data))

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(put, range(6))) == [len(data)] * 6
    assert store.get_bytes(digest) == data


# out


def test_ranges(store: ObjectStore) -> None:
    data = fresh((3 << 20) + 17)
    digest = store.put_bytes(data)
    for start, stop in [(0, 1), (5, 5), (0, len(data)), (1 << 20, 2 << 20), (7, len(data))]:
        assert b"".join(store.open_range(digest, start, stop)) == data[start:stop]
    for start, stop in [(-1, 2), (3, 2)]:
        with pytest.raises(ValueError, match="no range"):
            store.open_range(digest, start, stop)
    # at once, before a piece is asked for: an answer's status has not been sent by then
    refused(lambda: store.open_range(digest, 0, len(data) + 1), "object_corrupt")
    refused(lambda: store.open_range(digest, len(data), len(data) + 1), "object_corrupt")


def test_an_iterator_left_unread_costs_no_connection(store: ObjectStore) -> None:
    data = fresh(4 << 20)
    digest = store.put_bytes(data)
    for _ in range(40):
        next(iter(store.open_range(digest, 0, len(data))))
    assert store.get_bytes(digest) == data


def test_fetching_is_all_or_nothing(store: ObjectStore, tmp_path: Path) -> None:
    data = fresh(5 << 20)
    digest = store.put_bytes(data)
    store.fetch_to(digest, tmp_path / "it")
    assert (tmp_path / "it").read_bytes() == data
    with pytest.raises(FileExistsError):
        store.fetch_to(digest, tmp_path / "it")
    assert [p.name for p in tmp_path.iterdir()] == ["it"]


@pytest.mark.parametrize("size", [1, 2000, (3 << 20) + 5])
def test_damaged_bytes_are_not_served(
    store: ObjectStore, backdoor: Backdoor, tmp_path: Path, size: int
) -> None:
    data = fresh(size)
    digest = store.put_bytes(data)
    backdoor.overwrite(digest, data[:-1] + bytes([data[-1] ^ 1]))
    refused(lambda: store.get_bytes(digest), "object_corrupt")
    refused(lambda: store.fetch_to(digest, tmp_path / "it"), "object_corrupt")
    assert list(tmp_path.iterdir()) == []
    served = bytearray()

    def serve() -> None:
        for piece in store.open_range(digest, 0, size):
            served.extend(piece)

    refused(serve, "object_corrupt")
    assert len(served) < size


def test_cut_bytes_are_not_served(store: ObjectStore, backdoor: Backdoor, tmp_path: Path) -> None:
    data = fresh(2000)
    digest = store.put_bytes(data)
    backdoor.overwrite(digest, data[:-1])
    refused(lambda: store.get_bytes(digest), "object_corrupt")
    refused(lambda: store.fetch_to(digest, tmp_path / "it"), "object_corrupt")
    refused(lambda: store.open_range(digest, 0, 2000), "object_corrupt")


def test_lost_bytes_are_told(store: ObjectStore, backdoor: Backdoor, tmp_path: Path) -> None:
    digest = store.put_bytes(fresh(100))
    backdoor.remove(digest)
    assert not store.exists(digest)
    for call in (
        lambda: store.get_bytes(digest),
        lambda: store.open_range(digest, 0, 1),
        lambda: store.fetch_to(digest, tmp_path / "it"),
        lambda: store.size(digest),
    ):
        assert digest in refused(call, "object_corrupt").detail
    assert list(tmp_path.iterdir()) == []


def test_memory_has_a_limit(store: ObjectStore) -> None:
    digest = store.put_bytes(fresh(1001))
    problem = refused(lambda: store.get_bytes(digest, max_bytes=1000), "object_invalid")
    assert "1001" in problem.detail
    assert "1000" in problem.detail
    assert len(store.get_bytes(digest, max_bytes=1001)) == 1001


# figures


def test_figures_are_kept(store: ObjectStore, backdoor: Backdoor) -> None:
    key = figure_key(LANDSCAPE, digest_bytes(fresh(8)), "png")
    assert store.get_cached(key) is None
    store.put_cached(key, b"first", "image/png")
    store.put_cached(key, b"picture", "image/png")
    assert store.get_cached(key) == b"picture"
    assert backdoor.client.stat_object(backdoor.bucket, key).content_type == "image/png"


def test_a_damaged_figure_counts_as_none(store: ObjectStore, backdoor: Backdoor) -> None:
    key = figure_key(LANDSCAPE, digest_bytes(fresh(8)), "svg")
    backdoor.client.put_object(
        backdoor.bucket,
        key,
        io.BytesIO(b"tampered"),
        8,
        metadata={"sha256": hex_of(digest_bytes(b"original"))},
    )
    assert store.get_cached(key) is None
    backdoor.client.put_object(backdoor.bucket, key, io.BytesIO(b"strange"), 7)
    assert store.get_cached(key) is None


def test_only_figures_are_cached(store: ObjectStore) -> None:
    digest = store.put_bytes(fresh(8))
    with pytest.raises(ValueError, match="not a figure's key"):
        store.put_cached(object_key(digest), b"wrong bytes", "image/png")
    with pytest.raises(ValueError, match="not a figure's key"):
        store.get_cached(object_key(digest))
