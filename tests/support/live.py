"""A whole Lossatlas, started as a user starts it: `lossatlas-server up` on a private folder.

Owns the process and a thin HTTP caller; knows nothing of the service's code.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

START_SECONDS = 120.0
STOP_SECONDS = 30.0


@dataclass
class Api:
    """Calls with a key; answers are checked by the caller."""

    url: str
    key: str

    def __post_init__(self) -> None:
        self.http = httpx2.Client(
            base_url=self.url, headers={"Authorization": f"Bearer {self.key}"}, timeout=120.0
        )

    def get(self, path: str, **query: Any) -> httpx2.Response:
        return self.http.get(path, params=query)

    def post(
        self, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> httpx2.Response:
        return self.http.post(path, json=body, headers=dict(headers or {}))

    def put_object(self, data: bytes) -> str:
        """Uploads bytes and returns their digest."""
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        answer = self.http.put(f"/v1/objects/{digest}", content=data)
        assert answer.status_code in (200, 201), answer.text
        return digest

    def create(self, path: str, body: Any, status: tuple[int, ...] = (200, 201, 202)) -> Any:
        """Posts, expects success and returns the JSON."""
        answer = self.post(path, body)
        assert answer.status_code in status, f"{path}: {answer.status_code} {answer.text}"
        return answer.json()

    def finish(self, job: str, seconds: float = 180.0) -> dict[str, Any]:
        """Waits, by long poll, until the job is in a final state."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            body: dict[str, Any] = self.get(f"/v1/jobs/{job}", wait=20).json()
            if body["state"] in ("succeeded", "failed", "cancelled"):
                return body
        raise AssertionError(f"job {job} did not finish within {seconds} s: {body}")

    def landscape_of(self, spec: Any, seconds: float = 180.0) -> dict[str, Any]:
        """Submits, waits for success and returns the finished job."""
        job = self.create("/v1/jobs", spec)
        done = self.finish(job["id"], seconds)
        assert done["state"] == "succeeded", done
        return done

    def data(self, job: Mapping[str, Any]) -> Any:
        """The grid JSON of a finished job."""
        answer = self.get(f"/v1/landscapes/{job['landscape']}/data.json")
        assert answer.status_code == 200, answer.text
        return answer.json()


class Live:
    """One `lossatlas-server up` and the files that it writes."""

    def __init__(self, folder: Path, *, workers: int = 2, env: Mapping[str, str] | None = None):
        self.folder = folder
        self.workers = workers
        self.env = {**os.environ, **(env or {})}
        self.process: subprocess.Popen[bytes] | None = None
        self.api: Api | None = None
        self.log = folder.parent / f"{folder.name}.up.log"

    def start(self) -> Api:
        """Returns when the endpoint file says that the service serves."""
        endpoint = self.folder / "endpoint.json"
        # one that was killed has left it
        endpoint.unlink(missing_ok=True)
        log = self.log.open("ab")
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-P",
                "-m",
                "service",
                "up",
                "--data",
                str(self.folder),
                "--workers",
                str(self.workers),
                # any, since other tests' stacks start at the same time
                "--port",
                "0",
            ],
            stdout=log,
            stderr=subprocess.STDOUT,
            env=self.env,
        )
        deadline = time.monotonic() + START_SECONDS
        while not endpoint.exists():
            if self.process.poll() is not None:
                raise AssertionError(f"up exited {self.process.returncode}: {self.tail()}")
            if time.monotonic() > deadline:
                raise AssertionError(f"up did not serve in {START_SECONDS} s: {self.tail()}")
            time.sleep(0.05)
        found = json.loads(endpoint.read_text())
        self.api = Api(found["url"], found["key"])
        return self.api

    def stop(self) -> float:
        """SIGTERM, then the seconds until it was gone."""
        assert self.process is not None
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(STOP_SECONDS)
        return time.monotonic() - began

    def kill(self) -> None:
        """SIGKILL, for when a test failed half-way."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(STOP_SECONDS)

    def tail(self, size: int = 4000) -> str:
        return self.log.read_text(errors="replace")[-size:]
