"""The processes of `lossatlas-server` as an operator runs them."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from service.settings import Settings
from tests.support.servers import fresh_database

ROOT = Path(__file__).parents[2]
SERVER = Path(sys.executable).with_name("lossatlas-server")
MIB = 1 << 20


def environment(settings: Settings, **changes: str) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "DATABASE_URL": settings.database_url,
        "S3_ENDPOINT": settings.s3_endpoint,
        "S3_ACCESS_KEY": settings.s3_access_key,
        "S3_SECRET_KEY": settings.s3_secret_key.get_secret_value(),
        "S3_REGION": settings.s3_region,
        "S3_BUCKET": settings.s3_bucket,
        "BROKER_URL": settings.broker_url,
        "LOSSATLAS_PORT": "0",
        **changes,
    }


def run(env: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [SERVER, *arguments],
        env=env,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


@contextmanager
def api(env: dict[str, str]) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A running process and its address, which it tells on standard error."""
    process = subprocess.Popen(
        [SERVER, "api"],
        env=env,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        said = []
        for line in process.stderr:
            said.append(line)
            if found := re.search(r"serving (http://\S+)", line):
                break
        else:
            raise AssertionError("it did not serve: " + "".join(said))
        drained = threading.Thread(target=process.stderr.read, daemon=True)
        drained.start()
        yield process, found.group(1)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(30)


def secret(env: dict[str, str], *arguments: str) -> str:
    made = run(env, "create-key", "--name", "operator", *arguments)
    assert made.returncode == 0, made.stderr
    return made.stdout.strip()


def test_openapi_needs_no_server() -> None:
    made = run({"PATH": os.environ["PATH"]}, "openapi")
    assert made.returncode == 0, made.stderr
    assert made.stdout == (ROOT / "openapi" / "v1.json").read_text()


def test_sigterm_lets_go_who_waits(settings: Settings) -> None:
    env = environment(settings)
    key = secret(env, "--role", "reader", "--project", "mine")
    with (
        api(env) as (process, url),
        httpx2.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=60) as http,
    ):
        assert http.get("/v1/keys/me").json()["projects"] == ["mine"]
        # a connection that is kept alive must not keep the process
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        assert time.monotonic() - began < 3


def test_an_upload_in_hand_does_not_keep_the_process_for_ever(settings: Settings) -> None:
    env = environment(settings)
    key = secret(env, "--role", "submitter")
    with (
        api(env) as (process, url),
        socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), 30) as slow,
    ):
        slow.sendall(
            f"PUT /v1/objects/sha256:{'0' * 64} HTTP/1.1\r\nHost: h\r\n"
            f"Authorization: Bearer {key}\r\nExpect: 100-continue\r\n"
            "Content-Length: 1000\r\n\r\n".encode()
        )
        # the service has begun to read
        assert slow.recv(100).startswith(b"HTTP/1.1 100")
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert slow.recv(100).startswith(b"HTTP/1.1 503")
        assert process.wait(20) == 0
        assert time.monotonic() - began < 9


def test_what_is_wrong_is_said_in_a_line(settings: Settings, database_url: str) -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
        away = f"postgresql://lossatlas@127.0.0.1:{port}/lossatlas"
        told = run(environment(settings, DATABASE_URL=away), "api")
        assert (told.returncode, len(told.stderr.splitlines())) == (1, 1), told.stderr
        assert "database" in told.stderr
        told = run(environment(settings, DATABASE_URL=away), "relay")
        assert (told.returncode, len(told.stderr.splitlines())) == (1, 1), told.stderr
        reserved.listen()
        told = run(environment(settings, LOSSATLAS_PORT=str(port)), "api")
        assert told.returncode == 1
        assert f"cannot listen on 127.0.0.1 port {port}" in told.stderr.splitlines()[-1]
    told = run(environment(settings, LOSSATLAS_PORT="many"), "api")
    assert (told.returncode, len(told.stderr.splitlines())) == (2, 1), told.stderr
    assert "port: Input should be a valid integer" in told.stderr
    with fresh_database(database_url) as empty:
        env = environment(settings, DATABASE_URL=empty)
        for command in ("api", "relay"):
            told = run(env, command)
            assert (told.returncode, len(told.stderr.splitlines())) == (1, 1), told.stderr
            assert "lossatlas-server migrate" in told.stderr
        assert run(env, "migrate").returncode == 0
        assert run(env, "migrate").returncode == 0
        assert secret(env, "--role", "admin").startswith("la_")


@pytest.mark.parametrize(
    "arguments", [("--role", "god"), ("--role", "reader", "--project", "Not One"), ()]
)
def test_keys_that_cannot_be(settings: Settings, arguments: tuple[str, ...]) -> None:
    told = run(environment(settings), "create-key", "--name", "x", *arguments)
    assert told.returncode == 2
    assert "Traceback" not in told.stderr


def test_memory_does_not_grow_with_an_upload(settings: Settings) -> None:
    env = environment(settings)
    key = secret(env, "--role", "submitter")
    megabytes = 192
    block, first, second = os.urandom(MIB), os.urandom(MIB), os.urandom(MIB)

    def send(http: httpx2.Client, start: bytes, **headers: str) -> str:
        pieces = [start] + (megabytes - 1) * [block]
        state = hashlib.sha256()
        for piece in pieces:
            state.update(piece)
        path = f"/v1/objects/sha256:{state.hexdigest()}"
        sent = http.put(path, content=iter(pieces), headers=headers)
        assert sent.status_code == 201, sent.text
        assert sent.json()["size"] == megabytes * MIB
        return path

    with (
        api(env) as (process, url),
        httpx2.Client(
            base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=120
        ) as http,
    ):
        small = hashlib.sha256(block).hexdigest()
        assert http.put(f"/v1/objects/sha256:{small}", content=block).status_code == 201
        before = peak_bytes(process.pid)
        path = send(http, first, **{"Content-Length": str(megabytes * MIB)})
        with http.stream("GET", path) as down:
            assert sum(len(piece) for piece in down.iter_bytes()) == megabytes * MIB
        # a few parts of 8 MiB
        declared = peak_bytes(process.pid) - before
        assert declared < 64 * MIB, f"{declared / MIB:.0f} MiB"
        send(http, second)
        # of unknown length, parts are 16 MiB
        chunked = peak_bytes(process.pid) - before
        assert chunked < 112 * MIB, f"{chunked / MIB:.0f} MiB"
        print(f"peak grew by {declared / MIB:.0f} MiB, chunked {chunked / MIB:.0f} MiB")


def peak_bytes(pid: int) -> int:
    text = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", text)
    assert found is not None
    return int(found.group(1)) * 1024
