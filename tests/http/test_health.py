"""Alive, ready, degraded: with servers that are really there and really stopped."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from service.embedded import processes
from service.embedded.postgres import Postgres
from service.http.app import create_app
from service.http.services import Services
from service.ledger import schema
from service.main import ROUTERS
from service.settings import Settings
from tests.features.caller import Caller, problem
from tests.support.servers import fresh_database
from tests.support.serving import Serving, serving


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port of ours at which nobody listens."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        yield reserved.getsockname()[1]


def ready_when(http: httpx2.Client, status: int, seconds: float = 30.0) -> httpx2.Response:
    """The first answer of this status; answers are kept for a second."""
    deadline = time.monotonic() + seconds
    while True:
        answer = http.get("/readyz")
        if answer.status_code == status:
            return answer
        assert time.monotonic() < deadline, answer.text
        time.sleep(0.1)


def test_all_is_well(nobody: Caller) -> None:
    assert nobody.get("/livez").json() == {"status": "alive"}
    answer = nobody.get("/readyz")
    assert answer.status_code == 200
    assert answer.json() == {
        "status": "ready",
        "checks": {"database": "ok", "schema": "ok", "store": "ok", "broker": "ok"},
    }
    assert nobody.http.head("/readyz").status_code == 200
    assert "no-store" in answer.headers["cache-control"]


def test_without_the_broker_it_is_degraded(settings: Settings, closed_port: int) -> None:
    away = settings.model_copy(update={"broker_url": f"redis://127.0.0.1:{closed_port}/0"})
    with serving(away) as api, api.client() as http:
        answer = http.get("/readyz")
        assert answer.status_code == 200
        assert answer.json()["status"] == "degraded"
        assert answer.json()["checks"]["broker"] == "away"


def test_without_the_store_it_is_not_ready(settings: Settings, closed_port: int) -> None:
    away = settings.model_copy(update={"s3_endpoint": f"http://127.0.0.1:{closed_port}"})
    with serving(away) as api, api.client() as http:
        told = problem(http.get("/readyz"), 503, "unavailable")
        assert told["checks"]["store"] == "away"
        assert told["checks"]["database"] == "ok"
        with api.client(api.key("submitter")[1]) as caller:
            sent = caller.put("/v1/objects/sha256:" + "0" * 64, content=b"x")
            told = problem(sent, 503, "unavailable")
            assert told["retryable"] is True


def test_the_database_goes_and_comes_back(settings: Settings, tmp_path: Path) -> None:
    postgres = Postgres(tmp_path / "postgres", tmp_path, durable=False)
    child = postgres.start()
    try:
        processes.wait_until(postgres.ready, what="Postgres", seconds=60)
        postgres.create_database("lossatlas")
        url = postgres.url("lossatlas")
        schema.upgrade(url)
        with serving(settings.model_copy(update={"database_url": url})) as api:
            _, secret = api.key("reader")
            with api.client(secret) as http:
                assert http.get("/readyz").status_code == 200
                processes.stop([child], 10)
                told = problem(ready_when(http, 503), 503, "unavailable")
                assert told["checks"]["database"] == "away"
                assert http.get("/livez").status_code == 200
                told = problem(http.get("/v1/models"), 503, "unavailable")
                assert told["retryable"] is True
                child = postgres.start()
                processes.wait_until(postgres.ready, what="Postgres", seconds=60)
                ready_when(http, 200)
                assert http.get("/v1/models").status_code == 200
                assert api.services.changes.wait_until_listening(20)
    finally:
        processes.stop([child], 10)


def test_an_old_schema_is_not_served(settings: Settings, database_url: str) -> None:
    with fresh_database(database_url) as empty:
        services = Services.from_settings(settings.model_copy(update={"database_url": empty}))
        try:
            with pytest.raises(schema.StaleSchema, match="migrate"):
                create_app(services, ROUTERS)
        finally:
            services.database.dispose()


def test_metrics(running: Serving, admin: Caller, reader: Caller, job: str) -> None:
    reader.get("/v1/models/mdl_" + "0" * 26)
    answer = admin.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    values = {
        line.rpartition(" ")[0]: float(line.rpartition(" ")[2])
        for line in answer.text.splitlines()
        if not line.startswith("#")
    }
    refused = 'method="GET",route="/v1/models/{model_id}",status="404"'
    assert values[f"lossatlas_http_requests_total{{{refused}}}"] >= 1
    assert values['lossatlas_jobs{state="queued"}'] >= 1
    assert values['lossatlas_jobs{state="failed"}'] >= 0
    assert values['lossatlas_units{state="ready"}'] >= 1
    assert values["lossatlas_outbox_depth"] >= 1
    assert any(name.startswith("lossatlas_http_request_seconds_bucket") for name in values)


def test_metrics_for_everybody(settings: Settings) -> None:
    public = settings.model_copy(update={"metrics_public": True})
    with serving(public) as api, api.client() as http:
        assert http.get("/metrics").status_code == 200
