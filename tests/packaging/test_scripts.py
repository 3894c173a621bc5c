"""Every process of `lossatlas-server`, from a working folder that has modules of our names."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from service.settings import Settings
from tests.packaging.foreign import NAMES, foreign_folder
from tests.support.processes import until

SERVER = Path(sys.executable).with_name("lossatlas-server")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return foreign_folder(tmp_path / "work")


def surroundings(settings: Settings, folder: Path) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "DATABASE_URL": settings.database_url,
        "S3_ENDPOINT": settings.s3_endpoint,
        "S3_ACCESS_KEY": settings.s3_access_key,
        "S3_SECRET_KEY": settings.s3_secret_key.get_secret_value(),
        "S3_REGION": settings.s3_region,
        "S3_BUCKET": settings.s3_bucket,
        "BROKER_URL": settings.broker_url,
        "LOSSATLAS_PORT": "0",
        "LOSSATLAS_DATA_DIR": str(folder / "data"),
    }


def test_the_folder_is_in_the_way_of_who_looks_there(folder: Path) -> None:
    """What the others show would be nothing if the folder did no harm."""
    for name in NAMES:
        done = subprocess.run(
            [sys.executable, "-c", f"import {name}"],
            cwd=folder, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert f"{name} is that of the working folder" in done.stderr


@pytest.mark.parametrize(
    ("command", "says"),
    [("api", "serving http://"), ("relay", "relay"), ("worker", "exchange=cpu")],
)
def test_a_process_runs_and_stops(
    settings: Settings, folder: Path, command: str, says: str
) -> None:
    log = folder / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [SERVER, command],
            cwd=folder, env=surroundings(settings, folder), stdout=out, stderr=out,
        )  # fmt: skip
    try:

        def said() -> bool:
            assert process.poll() is None, log.read_text()
            return says in log.read_text()

        until(f"{command} to be at work", said, 120)
        process.send_signal(signal.SIGTERM)
        # Celery's last line before it looks after signals is the one that was awaited
        allowed = (0, -signal.SIGTERM) if command == "worker" else (0,)
        assert process.wait(60) in allowed, log.read_text()
    finally:
        process.kill()
        process.wait()
    assert "working folder" not in log.read_text()


@pytest.mark.parametrize("command", ["migrate", "openapi", "doctor"])
def test_a_command_ends(settings: Settings, folder: Path, command: str) -> None:
    done = subprocess.run(
        [SERVER, command],
        cwd=folder, env=surroundings(settings, folder),
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "working folder" not in done.stdout + done.stderr
