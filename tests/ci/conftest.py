"""A live service, and the files that a training job leaves behind."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import pytest

from tests.client.test_cli import Ran
from tests.support.live import Api
from tests.support.reference import ROOT

FOLDER = ROOT / "digits_mlp"


@dataclass(frozen=True)
class Files:
    """What training wrote: a program, weights of two qualities, samples."""

    model: Path
    trained: Path
    untrained: Path
    data: Path


def xml(path: Path) -> Element:
    """The root of a document that we have written."""
    return ElementTree.parse(path).getroot()  # noqa: S314


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """In a folder outside the repository."""
    folder = tmp_path_factory.mktemp("trained")
    shutil.copy(FOLDER / "program.pt2", folder / "network.pt2")
    shutil.copy(FOLDER / "checkpoint_12.safetensors", folder / "trained.safetensors")
    shutil.copy(FOLDER / "checkpoint_01.safetensors", folder / "untrained.safetensors")
    shutil.copy(FOLDER / "data.safetensors", folder / "digits.safetensors")
    return Files(
        folder / "network.pt2",
        folder / "trained.safetensors",
        folder / "untrained.safetensors",
        folder / "digits.safetensors",
    )


@pytest.fixture(scope="session")
def pipeline_key(live_api: Api) -> str:
    """May submit, and may not move aliases: the key of a pipeline that is judged."""
    body = {"name": "pipeline", "role": "submitter", "projects": ["ci"]}
    return str(live_api.create("/v1/keys", body)["secret"])


Run = Callable[..., Ran]


@pytest.fixture(scope="session")
def lossatlas(live_api: Api, pipeline_key: str) -> Run:
    """The command line with the pipeline's key; `code` is what it must exit with."""

    def run(*arguments: object, code: int = 0, cwd: Path | None = None, **environment: str) -> Ran:
        done = subprocess.run(
            [sys.executable, "-m", "lossatlas.cli.command", *map(str, arguments)],
            env={
                "PATH": os.environ["PATH"],
                "HOME": "/nonexistent",
                "COLUMNS": "200",
                "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
                "LOSSATLAS_URL": live_api.url,
                "LOSSATLAS_KEY": pipeline_key,
                **environment,
            },
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        ran = Ran(done.returncode, done.stdout, done.stderr)
        assert "Traceback" not in done.stderr, done.stderr
        assert ran.code == code, (arguments, ran)
        return ran

    return run


@pytest.fixture
def nobody_there() -> Iterator[dict[str, str]]:
    """The environment of a service that is away: an address that refuses every connection."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield {
            "LOSSATLAS_URL": f"http://127.0.0.1:{taken.getsockname()[1]}",
            "LOSSATLAS_RETRY_SECONDS": "0.5",
        }


@pytest.fixture(scope="session")
def landscapes(lossatlas: Run, files: Files) -> dict[str, str]:
    """Of the trained and of the untrained network; made in one step each, as a CI job does."""
    found = {}
    for name in ("trained", "untrained"):
        ran = lossatlas(
            "ci", "--project", "ci", "--model", files.model, "--weights", getattr(files, name),
            "--data", files.data, "--num", 7, "--rule", "center_loss >= -1", "--json",
        )  # fmt: skip
        body: dict[str, Any] = ran.json()
        found[name] = str(body["check"]["landscape"])
    return found
