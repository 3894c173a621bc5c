"""Uploads that nobody completes are given up, by the ledger's knowledge and by the store's."""

from __future__ import annotations

import io
import secrets
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import psycopg
import pytest
from minio import Minio

from service.dispatch.relay import Relay
from service.dispatch.sweeping import Sweep
from service.ledger import keys, uploads
from service.ledger.ids import new_id
from service.ledger.records import KeyRecord, UploadRecord
from service.ledger.session import Database
from service.settings import Settings
from service.store.connection import connect
from service.store.keys import object_key, upload_key
from service.store.objects import ObjectStore
from tests.support.processes import until
from tests.support.servers import SettingsFactory, libpq

LATER = timedelta(days=3)


@dataclass(frozen=True)
class Place:
    """A database and a bucket of the test's own."""

    settings: Settings
    database: Database
    store: ObjectStore
    client: Minio
    key: KeyRecord

    @property
    def sweep(self) -> Sweep:
        seconds = self.settings.upload_seconds
        return Sweep(self.database, self.store, upload_seconds=seconds)

    def begin(self, size: int = 1000) -> UploadRecord:
        identity = new_id("upl")
        with self.database.transaction() as session:
            return uploads.create(
                session,
                identity=identity,
                digest="sha256:" + secrets.token_hex(32),
                size=size,
                part_size=5 << 20,
                s3_upload_id=self.store.begin_upload(upload_key(identity)),
                key_id=self.key.id,
            )

    def send(self, upload: UploadRecord) -> int:
        where = upload_key(upload.id), upload.s3_upload_id
        (url,) = self.store.presign_parts(*where, {1: upload.size}, timedelta(minutes=1)).values()
        return httpx2.put(url, content=secrets.token_bytes(upload.size)).status_code

    def state(self, upload: UploadRecord) -> str:
        with self.database.transaction() as session:
            found = uploads.get(session, upload.id)
        assert found is not None
        return found.state

    def begun(self) -> set[str]:
        """What the store has begun, past everything of ours."""
        found = self.client._list_multipart_uploads(self.settings.s3_bucket).uploads
        return {str(one.upload_id) for one in found}

    def execute(self, sql: str, *values: Any) -> None:
        with psycopg.connect(libpq(self.settings.database_url), autocommit=True) as admin:
            admin.execute(sql, values)


@pytest.fixture
def place(fresh_settings: SettingsFactory) -> Iterator[Place]:
    settings = fresh_settings()
    database = Database(settings.database_url)
    store = ObjectStore.from_settings(settings)
    store.ensure_bucket()
    with database.transaction() as session:
        key, _ = keys.create(
            session, name="k", role="submitter", projects=["p"], expires_at=None, created_by=None
        )
    yield Place(settings, database, store, connect(settings), key)
    database.dispose()


def test_the_old_are_given_up_and_the_young_are_not(place: Place) -> None:
    old, young = place.begin(), place.begin()
    assert place.send(old) == place.send(young) == 200
    place.execute("UPDATE uploads SET created_at = now() - interval '3 days' WHERE id = %s", old.id)
    assert place.sweep.round() == 1
    assert place.sweep.round() == 0
    assert (place.state(old), place.state(young)) == ("aborted", "open")
    assert place.begun() == {young.s3_upload_id}
    assert place.send(old) == 404
    assert place.send(young) == 200


def test_what_grows_beyond_its_announcement_is_given_up(place: Place) -> None:
    """A server may keep a part that is sent again beside the new one, for as long as it is sent."""
    often, seldom = place.begin(), place.begin()
    for _ in range(40):
        assert place.send(often) == 200
    assert [place.send(seldom) for _ in range(3)] == [200] * 3
    held = place.client._list_parts(
        place.settings.s3_bucket, upload_key(often.id), often.s3_upload_id
    ).parts
    kept_all = sum(part.size or 0 for part in held) == 40 * often.size
    assert place.sweep.round() == kept_all
    assert place.state(often) == ("aborted" if kept_all else "open")
    assert place.state(seldom) == "open"
    # the embedded server does
    assert kept_all or len(held) == 1


def test_what_only_the_store_knows_is_given_up(place: Place) -> None:
    """Processes died between the store's word and the row, and while a stream was stored."""
    bucket = place.settings.s3_bucket
    known = place.begin()
    unknown = {
        key: place.client._create_multipart_upload(bucket, key, {})
        for key in (
            *(upload_key(new_id("upl")) for _ in range(3)),
            object_key("sha256:" + secrets.token_hex(32)),
        )
    }
    others = place.client._create_multipart_upload(bucket, "backups/of/somebody", {})
    now = datetime.now(UTC)
    assert place.sweep.round() == 0, "they may be noted this very moment"
    assert place.sweep.round(now + timedelta(hours=2)) == 3, "a stream may last longer"
    assert place.sweep.round(now + LATER) == 1
    assert place.begun() == {known.s3_upload_id, others}
    assert not place.begun() & set(unknown.values())
    assert place.state(known) == "open", "by the database's clock it is young"


def test_staged_bytes_of_uploads_that_are_over_go(place: Place) -> None:
    bucket = place.settings.s3_bucket
    known, over = place.begin(), place.begin()
    with place.database.transaction() as session:
        uploads.abort(session, over.id)
    place.store.abort_upload(upload_key(over.id), over.s3_upload_id)
    kept = [upload_key(known.id), "uploads/notes.txt"]
    for key in (*kept, upload_key(over.id), upload_key(new_id("upl"))):
        place.client.put_object(bucket, key, io.BytesIO(b"left"), 4)
    digest = place.store.put_bytes(b"an object")
    assert place.sweep.round() == 0
    assert place.sweep.round(datetime.now(UTC) + timedelta(hours=2)) == 2
    assert sorted(place.store.keys("uploads/")) == sorted(kept)
    assert place.store.get_bytes(digest) == b"an object"


def test_more_than_one_page_of_the_store(place: Place) -> None:
    """Some servers page by key, others by the upload's id."""
    made = {
        place.client._create_multipart_upload(
            place.settings.s3_bucket, upload_key(new_id("upl")), {}
        )
        for _ in range(1100)
    }
    found = {one.s3_upload_id for one in place.store.unfinished_uploads()}
    assert found == made


def test_many_open_ones_are_all_looked_at_in_time(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.dispatch.sweeping._AT_ONCE", 2)
    for _ in range(5):
        place.begin()
    looked: list[str] = []
    monkeypatch.setattr(
        ObjectStore, "holds_too_much", lambda _self, key, *_rest: bool(looked.append(key))
    )
    sweep = place.sweep
    for _ in range(3):
        sweep.round()
    assert len(looked) == len(set(looked)) == 5
    sweep.round()
    assert len(looked) == 7, "and anew from the first"


def test_the_relay_sweeps(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """As its command runs it, stopped by the signal's event."""
    from service.dispatch import relay

    old = place.begin()
    place.execute("UPDATE uploads SET created_at = now() - interval '3 days'")
    settings = place.settings.model_copy(update={"sweep_seconds": 0.05})
    # signals are the main thread's, and a test runs in it
    stops: list[threading.Event] = []
    monkeypatch.setattr(
        Relay, "run", lambda _self, stop: (stops.append(stop), stop.wait(30), None)[-1]
    )
    running = threading.Thread(target=relay.run, args=(settings,))
    monkeypatch.setattr("signal.signal", lambda *_: None)
    running.start()
    try:
        until("it is given up", lambda: place.state(old) == "aborted", seconds=30)
    finally:
        until("the relay runs", lambda: bool(stops), seconds=10)
        stops[0].set()
        running.join(20)
    assert not running.is_alive()
