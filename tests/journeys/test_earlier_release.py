"""What an earlier release stored is served as it was, and what it had not finished finishes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from service.ledger import keys
from service.ledger.session import Database
from tests.support.earlier_release import Expected, restore
from tests.support.live import Api, Live
from tests.support.servers import Servers, fresh_bucket, fresh_database


@dataclass(frozen=True)
class Restored:
    """This release, on the servers of the earlier one, and what that one said."""

    api: Api
    expected: Expected


@pytest.fixture(scope="module")
def restored(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Restored]:
    folder = tmp_path_factory.mktemp("restored") / "data"
    with fresh_database(servers.database_url) as database, fresh_bucket(servers.s3) as bucket:
        expected = restore(database, servers.s3, bucket)
        environment = {
            **servers.s3,
            "DATABASE_URL": database,
            "S3_BUCKET": bucket,
            "LOSSATLAS_KEY": _administrator(database),
        }
        up = Live(folder, workers=1, env=environment)
        try:
            yield Restored(up.start(), expected)
            up.stop()
        finally:
            up.kill()


def _administrator(database_url: str) -> str:
    database = Database(database_url)
    try:
        with database.transaction() as session:
            return keys.create(
                session,
                name="heir",
                role="admin",
                projects=None,
                expires_at=None,
                created_by=None,
            )[1]
    finally:
        database.dispose()


def test_landscapes_are_served_as_they_were(restored: Restored) -> None:
    assert len(restored.expected.landscapes) == 10
    for name, landscape in restored.expected.landscapes.items():
        here = f"/v1/landscapes/{landscape['id']}"
        arrays, grid = restored.api.get(f"{here}/data.npz"), restored.api.get(f"{here}/data.json")
        assert (arrays.status_code, grid.status_code) == (200, 200), name
        assert hashlib.sha256(arrays.content).hexdigest() == landscape["data.npz"], name
        body = grid.json()
        assert "older definitions" in body["outdated"]
        require_kept(body, json.loads(restored.expected.served[name]), name)


def require_kept(now: Any, then: Any, at: str) -> None:
    """Members may have come since, and the words beside values are of today."""
    if isinstance(then, dict):
        assert isinstance(now, dict), at
        for key, item in then.items():
            if key != "definitions":
                assert key in now, f"{at}/{key}"
                require_kept(now[key], item, f"{at}/{key}")
    elif isinstance(then, list):
        assert isinstance(now, list), at
        assert len(now) == len(then), at
        for k, item in enumerate(then):
            require_kept(now[k], item, f"{at}/{k}")
    else:
        assert now == then, at


def test_every_figure_file_and_page_can_be_had(restored: Restored) -> None:
    for name, landscape in restored.expected.landscapes.items():
        here = f"/v1/landscapes/{landscape['id']}"
        links = restored.api.get(here).json()["links"]
        for link in ("figure", "view", "h5", "vts"):
            assert restored.api.get(links[link]).status_code == 200, (name, link)


def test_unfinished_jobs_finish(restored: Restored) -> None:
    assert len(restored.expected.queued) == 7
    for name, job in restored.expected.queued.items():
        done = restored.api.finish(job["id"])
        assert done["state"] == "succeeded", (name, done["error"])
        landscape = restored.api.get(f"/v1/landscapes/{done['landscape']}").json()
        assert landscape["input_digest"] == job["input_digest"], name


@pytest.mark.parametrize("kind", ["interpolation", "line", "surface", "trajectory", "curvature"])
def test_they_are_found_by_kind(restored: Restored, kind: str) -> None:
    found = restored.api.get("/v1/landscapes", kind=kind).json()["items"]
    assert found
    assert {item["kind"] for item in found} == {kind}
