"""Held answers and streams: woken by the ledger, resumed after breaks, let go on the way down."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import psycopg
import pytest

from service.settings import Settings
from tests.features.caller import Caller, problem
from tests.features.pushed import Pushed
from tests.support.servers import libpq
from tests.support.serving import Serving, serving

#: Without a notification the state is read every five seconds: quicker answers were woken.
WOKEN_SECONDS = 3.0


@contextmanager
def meanwhile(call: Any) -> Iterator[list[Any]]:
    """Runs `call` in a thread; its result is in the list after the block."""
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(call()))
    thread.start()
    try:
        yield results
    finally:
        thread.join(60)
    assert results, "no answer"


def until_waiting(running: Serving, job: str, seconds: float = 10.0) -> None:
    """Returns when somebody waits for the job."""
    deadline = time.monotonic() + seconds
    while job not in running.services.changes._waiting:
        assert time.monotonic() < deadline, "nobody waits"
        time.sleep(0.005)


def test_a_held_answer_is_woken(running: Serving, api: Caller, job: str) -> None:
    with meanwhile(lambda: api.get(f"/v1/jobs/{job}", wait=30)) as answers:
        until_waiting(running, job)
        began = time.monotonic()
        api.post(f"/v1/jobs/{job}/cancel")
    assert time.monotonic() - began < WOKEN_SECONDS
    assert answers[0].json()["state"] == "cancelled"


def test_a_finished_job_holds_nobody(api: Caller, job: str) -> None:
    api.post(f"/v1/jobs/{job}/cancel")
    began = time.monotonic()
    assert api.get(f"/v1/jobs/{job}", wait=30).json()["state"] == "cancelled"
    assert time.monotonic() - began < WOKEN_SECONDS


def test_an_answer_is_held_no_longer_than_asked(api: Caller, job: str) -> None:
    began = time.monotonic()
    assert api.get(f"/v1/jobs/{job}", wait=1).json()["state"] == "queued"
    assert 0.9 < time.monotonic() - began < 4
    for wait in ("-1", "61", "soon", "nan", "inf"):
        problem(api.get(f"/v1/jobs/{job}", wait=wait), 422, "invalid_request", "/wait")


def test_prefer_wait(running: Serving, api: Caller, pushed: Pushed) -> None:
    asked = {
        "kind": "interpolation",
        "origin": pushed.final,
        "target": pushed.first,
        "alpha": {"min": 0, "max": 1, "num": 3},
        "datasets": [pushed.dataset],
        "force": True,
    }
    sent = api.post("/v1/jobs", asked, headers={"Prefer": "wait=1"})
    assert sent.status_code == 202
    assert sent.headers["preference-applied"] == "wait=1"


def events(lines: Iterator[str]) -> Iterator[dict[str, Any]]:
    """Server-sent events as the standard reads them."""
    event: dict[str, Any] = {}
    for line in lines:
        if not line:
            if event:
                yield event
            event = {}
        elif not line.startswith(":"):
            name, _, value = line.partition(": ")
            event[name] = value


def test_a_stream_follows_and_resumes(running: Serving, api: Caller, job: str) -> None:
    accept = {"Accept": "text/event-stream"}
    with api.http.stream("GET", f"/v1/jobs/{job}/events", headers=accept) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        assert stream.headers["cache-control"] == "no-store"
        following = events(stream.iter_lines())
        first = next(following)
        assert first["event"] == "queued"
    # the break; meanwhile something happens
    api.post(f"/v1/jobs/{job}/cancel")
    api.post(f"/v1/jobs/{job}/retry")
    resumed = {**accept, "Last-Event-ID": first["id"]}
    with api.http.stream("GET", f"/v1/jobs/{job}/events", headers=resumed) as stream:
        following = events(stream.iter_lines())
        seen = [next(following), next(following)]
        assert [e["event"] for e in seen] == ["finished", "queued"]
        assert all(int(e["id"]) > int(first["id"]) for e in seen)
        until_waiting(running, job)
        began = time.monotonic()
        api.post(f"/v1/jobs/{job}/cancel")
        last = next(following)
        assert time.monotonic() - began < WOKEN_SECONDS
        assert json.loads(last["data"])["type"] == "finished"
        assert next(following, None) is None, "the stream ends with the job"
    problem(
        api.http.get(f"/v1/jobs/{job}/events", headers={"Last-Event-ID": "x"}),
        422,
        "invalid_request",
    )


def test_the_listener_comes_back(
    running: Serving, api: Caller, job: str, settings: Settings
) -> None:
    """Its connection is cut while somebody waits: they are woken all the same."""
    with meanwhile(lambda: api.get(f"/v1/jobs/{job}", wait=30)) as answers:
        until_waiting(running, job)
        with psycopg.connect(libpq(settings.database_url), autocommit=True) as admin:
            cut = admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'lossatlas-api-listen'"
                " AND datname = current_database()"
            ).fetchall()
            assert cut
        assert running.services.changes.wait_until_listening(20)
        began = time.monotonic()
        api.post(f"/v1/jobs/{job}/cancel")
    assert time.monotonic() - began < WOKEN_SECONDS
    assert answers[0].json()["state"] == "cancelled"


def test_nobody_is_held_on_the_way_down(settings: Settings, api: Caller, job: str) -> None:
    with serving(settings) as leaving:
        _, secret = leaving.key("reader")
        with leaving.client(secret) as first, leaving.client(secret) as second:

            def follow() -> list[dict[str, Any]]:
                accept = {"Accept": "text/event-stream"}
                path = f"/v1/jobs/{job}/events"
                with second.stream("GET", path, headers=accept) as stream:
                    return list(events(stream.iter_lines()))

            with (
                meanwhile(lambda: first.get(f"/v1/jobs/{job}", params={"wait": 60})) as held,
                meanwhile(follow) as streamed,
            ):
                deadline = time.monotonic() + 10
                while len(leaving.services.changes._waiting.get(job, ())) < 2:
                    assert time.monotonic() < deadline
                    time.sleep(0.005)
                began = time.monotonic()
                leaving.stop()
                assert time.monotonic() - began < 3
        answer: httpx2.Response = held[0]
        assert (answer.status_code, answer.json()["state"]) == (200, "queued")
        assert [e["event"] for e in streamed[0]] == ["queued"]


def test_nothing_is_kept_of_those_who_left(running: Serving, api: Caller, job: str) -> None:
    api.get(f"/v1/jobs/{job}", wait=0.2)
    assert job not in running.services.changes._waiting


def test_a_listener_starts_once(running: Serving) -> None:
    with pytest.raises(RuntimeError):
        running.services.changes.start()
