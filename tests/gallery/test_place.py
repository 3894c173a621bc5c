"""Where the gallery is: in the repository, in no wheel, and missed in one line where it is not."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from lossatlas.cli import command
from lossatlas.cli import gallery as asked

from service import command as server
from service.embedded import demo

CLIENT = Path(__file__).parents[2] / "openapi" / "client"
ABSENT = "lossatlas_gallery_that_nobody_installed"


def test_the_clients_wheel_is_without_it(tmp_path: Path) -> None:
    source = tmp_path / "client"
    shutil.copytree(CLIENT, source, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check"),
            *("--no-deps", "--no-build-isolation", "--no-index", "-w", str(tmp_path), str(source)),
        ],
        check=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "lossatlas/client.py" in names
    assert [name for name in names if "gallery" in name] == ["lossatlas/cli/gallery.py"]


def test_the_command_line_says_where_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(asked, "_PROGRAM", ABSENT)
    monkeypatch.setattr(sys, "argv", ["lossatlas", "gallery", "-o", str(tmp_path / "out")])
    assert command.run() == 2
    said = capsys.readouterr().err
    assert "in a checkout of it: make gallery" in " ".join(said.split())
    assert "Traceback" not in said


def test_the_server_says_so_before_anything_is_started(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(demo, "GALLERY", replace(demo.GALLERY, package=ABSENT))
    monkeypatch.setenv("LOSSATLAS_DATA_DIR", str(tmp_path / "data"))
    assert server.main(["gallery"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "in a checkout, make gallery" in said
    assert not (tmp_path / "data").exists()
