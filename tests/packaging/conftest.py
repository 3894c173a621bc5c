"""Both wheels, and an environment that has them and not the checkout."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Wheels:
    server: Path
    client: Path


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Wheels:
    """Built from copies: building writes beside the sources."""
    folder = tmp_path_factory.mktemp("wheels")
    ignored = shutil.ignore_patterns("*.egg-info", "build", "dist", "__pycache__")
    server, client = folder / "server", folder / "client"
    server.mkdir()
    for package in ("service", "workers", "migrations"):
        shutil.copytree(ROOT / package, server / package, ignore=ignored)
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, server / file)
    shutil.copytree(ROOT / "openapi" / "client", client, ignore=ignored)
    # what builds is what `make setup` installed
    options = ("--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", str(folder))
    pip("wheel", *options, str(server), str(client))
    (built_server,) = folder.glob("lossatlas_server-*.whl")
    (built_client,) = folder.glob("lossatlas-*.whl")
    return Wheels(built_server, built_client)


@pytest.fixture(scope="session")
def environment(wheels: Wheels, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment of the two wheels. The libraries are this environment's, by their folder:

    that brings its packages, but not the links to the checkout, which are `.pth` files.
    """
    made = tmp_path_factory.mktemp("environment") / "env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(made)], check=True)
    # a library's only program that is no module
    (made / "bin" / "weed").symlink_to(Path(sysconfig.get_path("scripts")) / "weed")
    paths = {sysconfig.get_path(name) for name in ("purelib", "platlib")}
    (own,) = made.glob("lib/python*/site-packages")
    (own / "libraries.pth").write_text("".join(f"{path}\n" for path in sorted(paths)))
    python = str(made / "bin" / "python")
    pip(
        "--python", python, "install", "--no-deps", "--no-index", "--ignore-installed",
        str(wheels.server), str(wheels.client),
    )  # fmt: skip
    return made


def pip(*arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
