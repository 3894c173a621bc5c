"""`lossatlas-server doctor` and `migrate`, and arguments that cannot be right."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from service.ledger import schema
from service.ledger.session import Database
from tests.support.servers import Servers, fresh_database, minio

pytestmark = pytest.mark.server


def command(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-m", "service", *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_doctor_finds_everything_here_and_changes_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    done = command("doctor", "--data", str(folder), DATABASE_URL="", S3_ENDPOINT="", BROKER_URL="")
    assert done.returncode == 0, done.stdout + done.stderr
    lines = {line[6:18].strip(): line for line in done.stdout.splitlines()}
    assert lines["Python"].split()[-1] == ".".join(str(n) for n in sys.version_info[:3])
    for subject in ("PyTorch", "Postgres", "SeaweedFS", "Valkey", "Postgres as", "Disk"):
        assert lines[subject].startswith("ok "), lines[subject]
    assert {"GPUs", "Confinement", "Ports", "Running"} <= set(lines)
    assert not folder.exists()


def test_doctor_says_what_is_missing(tmp_path: Path) -> None:
    done = command("doctor", "--data", str(tmp_path), PG_BIN=str(tmp_path), DATABASE_URL="")
    assert done.returncode == 1
    bad = [line for line in done.stdout.splitlines() if line.startswith("bad")]
    assert len(bad) == 1
    assert str(tmp_path) in bad[0]


def test_migrate_makes_schema_and_bucket_and_may_be_repeated(servers: Servers) -> None:
    bucket = f"migrated-{os.getpid()}"
    with fresh_database(servers.database_url) as url:
        for _ in range(2):
            done = command("migrate", DATABASE_URL=url, S3_BUCKET=bucket, **servers.s3)
            assert done.returncode == 0, done.stderr
            assert schema.head_revision() in done.stdout
        database = Database(url)
        schema.require_current(database)
        database.dispose()
    client = minio(servers.s3)
    assert client.bucket_exists(bucket)
    client.remove_bucket(bucket)


def test_migrate_of_a_server_that_is_away_is_one_line() -> None:
    done = command("migrate", DATABASE_URL="postgresql://nobody@127.0.0.1:1/none")
    assert done.returncode == 1
    assert "could not be migrated" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("up", "--port", "99999"), "0 to 65535"),
        (("up", "--workers", "-1"), "0 to 1024"),
        (("nonsense",), "invalid choice"),
        ((), "required"),
    ],
)
def test_arguments_that_cannot_be_right(arguments: tuple[str, ...], words: str) -> None:
    done = command(*arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = command("up", "--data", str(tmp_path / "file" / "data"))
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "cannot be used" in done.stderr
