"""A store that is away, silent or closed to us is told in seconds, and found again by itself."""

from __future__ import annotations

import io
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from service.domain.digests import digest_bytes
from service.domain.problems import Problem
from service.embedded import processes
from service.embedded.s3 import S3
from service.ledger.ids import new_id
from service.settings import Settings
from service.store.keys import figure_key, upload_key
from service.store.objects import ObjectStore

pytestmark = pytest.mark.server

FIGURE = figure_key("lsc_01k" + "0" * 23, digest_bytes(b"figure"), "png")
PROMPT_SECONDS = 6.0
READY_SECONDS = 60.0


@dataclass(frozen=True)
class Own:
    """An S3 server of this module's own, to be stopped and started."""

    server: S3
    settings: Settings

    def start(self) -> None:
        self.server.start()
        processes.wait_until(self.server.ready, what="S3", seconds=READY_SECONDS)

    def stop(self) -> None:
        assert self.server.child is not None
        processes.stop([self.server.child], 2.0)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Own]:
    folder = tmp_path_factory.mktemp("s3")
    server = S3(folder / "data", folder / "logs")
    server.start()
    try:
        processes.wait_until(server.ready, what="S3", seconds=READY_SECONDS)
        given = server.environment()
        yield Own(
            server,
            Settings(
                s3_endpoint=given["S3_ENDPOINT"],
                s3_access_key=given["S3_ACCESS_KEY"],
                s3_secret_key=SecretStr(given["S3_SECRET_KEY"]),
                s3_bucket="outages",
            ),
        )
    finally:
        if server.child is not None:
            processes.stop([server.child], 2.0)


def unavailable(call: Callable[[], object]) -> Problem:
    began = time.monotonic()
    with pytest.raises(Problem) as caught:
        call()
    assert time.monotonic() - began < PROMPT_SECONDS
    assert caught.value.code == "unavailable", caught.value.detail
    assert caught.value.headers == {"Retry-After": "2"}
    return caught.value


def test_an_outage_is_told_soon_and_ends_by_itself(own: Own, tmp_path: Path) -> None:
    store = ObjectStore.from_settings(own.settings)
    store.ensure_bucket()
    data = os.urandom(1000)
    digest = store.put_bytes(data)
    key = upload_key(new_id("upl"))
    name = store.begin_upload(key)
    own.stop()
    other = digest_bytes(b"other")
    for call in (
        store.ping,
        store.ensure_bucket,
        lambda: store.get_bytes(digest),
        lambda: store.exists(digest),
        lambda: store.size(digest),
        lambda: store.open_range(digest, 0, 10),
        lambda: store.fetch_to(digest, tmp_path / "it"),
        lambda: store.put_bytes(b"other"),
        lambda: store.put_stream(other, io.BytesIO(b"other")),
        lambda: list(store.keys()),
        lambda: store.get_cached(FIGURE),
        lambda: store.put_cached(FIGURE, b"figure", "image/png"),
        lambda: store.begin_upload(upload_key(new_id("upl"))),
        lambda: store.complete_upload(key, name, digest=digest, size=1000),
        lambda: store.abort_upload(key, name),
        lambda: store.holds_too_much(key, name, 1000),
        store.unfinished_uploads,
        lambda: list(store.staged()),
        lambda: store.remove_staged(key),
    ):
        unavailable(call)
    assert list(tmp_path.iterdir()) == []
    # needs no server
    (url,) = store.presign_parts(key, name, {1: 1000}, timedelta(seconds=60)).values()
    assert url.startswith("http://")
    own.start()
    assert store.get_bytes(digest) == data
    store.ping()


def test_an_outage_half_way_leaves_nothing(own: Own) -> None:
    """The server goes away between two parts of a stream."""
    store = ObjectStore.from_settings(own.settings)
    store.ensure_bucket()
    data = os.urandom(40 << 20)
    digest = digest_bytes(data)

    class Cutting(io.BytesIO):
        cut = False

        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell() > 20 << 20 and not self.cut:
                self.cut = True
                own.stop()
            return super().read(size)

    unavailable(lambda: store.put_stream(digest, Cutting(data), size=len(data)))
    own.start()
    assert not store.exists(digest)
    assert store.put_stream(digest, io.BytesIO(data), size=len(data)) == len(data)
    assert store.get_bytes(digest) == data


def test_a_silent_server_is_not_ready(own: Own) -> None:
    """It accepts connections and says nothing."""
    store = ObjectStore.from_settings(own.settings)
    store.ensure_bucket()
    assert own.server.child is not None
    group = os.getpgid(own.server.child.pid)
    os.killpg(group, signal.SIGSTOP)
    try:
        unavailable(store.ping)
    finally:
        os.killpg(group, signal.SIGCONT)
    store.ping()


@pytest.mark.parametrize(
    "changes",
    [{"s3_secret_key": SecretStr("wrong")}, {"s3_access_key": "nobody"}],
)
def test_wrong_credentials_are_named(own: Own, changes: dict[str, Any]) -> None:
    store = ObjectStore.from_settings(own.settings.model_copy(update=changes))
    digest = digest_bytes(b"x")
    for call in (
        store.ping,
        lambda: store.get_bytes(digest),
        lambda: store.exists(digest),
        lambda: store.put_bytes(b"x"),
    ):
        assert "S3_ACCESS_KEY" in unavailable(call).detail


def test_a_missing_bucket_is_not_a_lost_object(own: Own) -> None:
    store = ObjectStore.from_settings(own.settings.model_copy(update={"s3_bucket": "nobody-made"}))
    digest = digest_bytes(b"x")
    for call in (store.ping, lambda: store.get_bytes(digest), lambda: store.size(digest)):
        assert "S3_BUCKET" in unavailable(call).detail


def test_what_answers_may_be_no_s3(own: Own) -> None:
    """The port of the server's master, taken for the gateway's."""
    master = own.server.where.rpartition(":")[0] + f":{own.server._port('master')}"
    store = ObjectStore.from_settings(
        own.settings.model_copy(update={"s3_endpoint": f"http://{master}"})
    )
    unavailable(lambda: store.get_bytes(digest_bytes(b"x")))


@pytest.mark.parametrize(
    "endpoint", ["", "127.0.0.1:9000", "ftp://host", "http://", "http://host/path", "http://u:p@h"]
)
def test_endpoints_are_urls(settings: Settings, endpoint: str) -> None:
    with pytest.raises(ValueError, match="S3_ENDPOINT must be"):
        ObjectStore.from_settings(settings.model_copy(update={"s3_endpoint": endpoint}))


def test_keys_must_be_set(settings: Settings) -> None:
    with pytest.raises(ValueError, match="must both be set"):
        ObjectStore.from_settings(settings.model_copy(update={"s3_access_key": ""}))
