"""`lossatlas-server up`, as a user has it: stopped, killed, in the way of another, wounded."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest

from tests.embedded import machine
from tests.support.live import Api, Live

pytestmark = pytest.mark.server

#: These tests are about the embedded servers, whatever the others run against.
OWN_SERVERS = {"DATABASE_URL": "", "S3_ENDPOINT": "", "BROKER_URL": "", "LOSSATLAS_PORT": "0"}

DATA = b"kept over every end" * 1000


def live_over(folder: Path) -> Live:
    return Live(folder, workers=1, env=OWN_SERVERS)


def family(live: Live) -> list[int]:
    """`up` and everything below it."""
    assert live.process is not None
    return [live.process.pid, *machine.children(live.process.pid)]


def up(*arguments: str) -> subprocess.CompletedProcess[str]:
    """An `up` that is expected to refuse."""
    return subprocess.run(
        [sys.executable, "-P", "-m", "service", "up", *arguments],
        env={**os.environ, **OWN_SERVERS},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def serves(api: Api) -> bool:
    try:
        return api.get("/readyz").status_code == 200
    except httpx2.TransportError:
        return False


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """One that is used, and stopped by the last test of this file's first part."""
    live = live_over(tmp_path_factory.mktemp("up") / "data")
    try:
        live.start()
        yield live
    finally:
        live.kill()


@pytest.fixture
def api(running: Live) -> Api:
    assert running.api is not None
    return running.api


def test_what_it_writes_is_private(running: Live) -> None:
    folder = running.folder
    assert folder.stat().st_mode & 0o777 == 0o700
    assert set(json.loads((folder / "endpoint.json").read_text())) == {"url", "key"}
    files = ("endpoint.json", "key", "lock", "postgres/password", "broker/password", "s3/secret")
    for name in files:
        assert (folder / name).stat().st_mode & 0o777 == 0o600, name
    for path in folder.rglob("*"):
        # Postgres' and SeaweedFS' files have modes of their own, below folders that are closed
        if path.is_dir() and path.parent == folder:
            assert path.stat().st_mode & 0o777 == 0o700, path


def test_nothing_listens_beyond_this_machine(running: Live) -> None:
    listeners = machine.listening(family(running))
    assert {"weed", "valkey-server"} <= set(listeners)
    assert "postgres" not in listeners
    found = [address for those in listeners.values() for address, _ in those]
    assert len(found) == 8 + 1 + 1
    assert set(found) == {"127.0.0.1"}


def test_no_secret_is_on_a_command_line(running: Live) -> None:
    secrets = [
        (running.folder / name).read_text().strip()
        for name in ("key", "postgres/password", "broker/password", "s3/secret")
    ]
    lines = [machine.command_line(pid) for pid in family(running)]
    assert not [line for line in lines for secret in secrets if secret in line]


def test_a_folder_in_use_is_refused_in_one_line(running: Live) -> None:
    assert running.process is not None
    done = up("--data", str(running.folder))
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert f"(process {running.process.pid})" in done.stderr
    assert "--data" in done.stderr
    assert (running.folder / "endpoint.json").exists()


def test_a_port_in_use_is_refused_in_one_line(running: Live, api: Api, tmp_path: Path) -> None:
    port = api.url.rpartition(":")[2]
    done = up("--data", str(tmp_path / "other"), "--port", port)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert f"port {port} of 127.0.0.1 is in use" in done.stderr
    # said before anything was started
    assert not (tmp_path / "other" / "s3").exists()


def of_postgres(pid: int) -> bool:
    return machine.name(pid) == "postgres" and "-D" in machine.command_line(pid)


def of_s3(pid: int) -> bool:
    return machine.name(pid) == "weed"


def of_broker(pid: int) -> bool:
    return machine.name(pid) == "valkey-server"


def of_api(pid: int) -> bool:
    return "-m service api" in machine.command_line(pid)


def of_relay(pid: int) -> bool:
    return "-m service relay" in machine.command_line(pid)


def of_worker(pid: int) -> bool:
    return "-m workers" in machine.command_line(pid)


@pytest.mark.parametrize("which", [of_postgres, of_s3, of_broker, of_api, of_relay, of_worker])
def test_what_is_killed_comes_back_with_its_data(
    running: Live, api: Api, which: Callable[[int], bool]
) -> None:
    assert running.process is not None
    up_pid = running.process.pid
    digest = api.put_object(DATA)

    def mine() -> list[int]:
        """Started by `up` itself: a worker's pool process has the worker's command line."""
        return [
            pid for pid in machine.children(up_pid) if which(pid) and machine.parent(pid) == up_pid
        ]

    (old,) = mine()
    os.kill(old, signal.SIGKILL)
    machine.until("its end", lambda: not machine.alive(old))
    machine.until("another", lambda: len(mine()) == 1, 60.0)
    machine.until("service", lambda: serves(api), 60.0)
    machine.until(
        "the same bytes",
        lambda: serves(api) and api.get(f"/v1/objects/{digest}").content == DATA,
        60.0,
    )
    assert mine() != [old]


def test_ctrl_c_stops_everything_within_ten_seconds(running: Live) -> None:
    assert running.process is not None
    everyone = family(running)
    assert len(everyone) > 7
    running.process.send_signal(signal.SIGINT)
    assert running.process.wait(10.0) == 0
    assert [pid for pid in everyone if machine.alive(pid)] == []
    assert not (running.folder / "endpoint.json").exists()
    assert "Stopped in" in running.tail()


def test_killed_it_leaves_nobody_and_the_next_one_goes_on(running: Live, tmp_path: Path) -> None:
    """Over the folder of the tests above, which was stopped in between."""
    second = live_over(running.folder)
    third = live_over(running.folder)
    try:
        api = second.start()
        digest = api.put_object(DATA)
        everyone = family(second)
        assert len(everyone) > 7
        second.kill()
        machine.until("their end", lambda: not [p for p in everyone if machine.alive(p)], 10.0)
        again = third.start()
        assert again.key == api.key
        assert again.get(f"/v1/objects/{digest}").content == DATA
        assert third.stop() < 10.0
        assert third.process is not None
        assert third.process.returncode == 0
    finally:
        second.kill()
        third.kill()


@pytest.mark.parametrize(
    "sign", ["lock", "postgres/cluster.new", "s3/data/filerldb2", "logs/api.log"]
)
def test_sigterm_while_it_starts(tmp_path: Path, sign: str) -> None:
    """However far it has come when the sign appears in its folder."""
    live = live_over(tmp_path / "data")
    with (tmp_path / "log").open("wb") as log:
        live.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "service", "up", "--data", str(live.folder)],
            env={**os.environ, **OWN_SERVERS},
            stdout=log,
            stderr=log,
        )
    try:
        machine.until(sign, (live.folder / sign).exists, 60.0)
        everyone = family(live)
        live.process.send_signal(signal.SIGTERM)
        assert live.process.wait(10.0) == 0, (tmp_path / "log").read_text()
        machine.until("their end", lambda: not [p for p in everyone if machine.alive(p)], 5.0)
        assert not (live.folder / "endpoint.json").exists()
        assert "Traceback" not in (tmp_path / "log").read_text()
    finally:
        live.kill()


def test_a_database_whose_keys_are_not_known_here(tmp_path: Path, running: Live) -> None:
    """The folder's key is lost: what to do is said, and nothing is left running."""
    key = running.folder / "key"
    kept = key.read_text()
    key.unlink()
    try:
        done = up("--data", str(running.folder))
        assert done.returncode == 2
        assert "LOSSATLAS_KEY" in done.stderr
        assert "create-key" in done.stderr
        assert "Traceback" not in done.stderr
    finally:
        key.write_text(kept)
