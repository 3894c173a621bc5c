"""What is in the wheels, and that they alone run the demonstration."""

from __future__ import annotations

import json
import os
import re
import subprocess
import zipfile
from email.message import Message
from email.parser import HeaderParser
from pathlib import Path

import httpx2
import pytest

from tests.packaging.conftest import ROOT, Wheels
from tests.packaging.foreign import foreign_folder
from tests.support.processes import until

OWN_SERVERS = {"DATABASE_URL": "", "S3_ENDPOINT": "", "BROKER_URL": "", "LOSSATLAS_PORT": "0"}

PNG = b"\x89PNG\r\n\x1a\n"


def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        return HeaderParser().parsestr(archive.read(name).decode())


def sources(folder: Path, package: str) -> set[str]:
    """Every file of a package in the checkout."""
    return {
        str(path.relative_to(folder))
        for path in (folder / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_the_servers_wheel_has_every_file(wheels: Wheels) -> None:
    wanted = {name for part in ("service", "workers", "migrations") for name in sources(ROOT, part)}
    assert {"service/catalog/static/catalog.css", "migrations/script.py.mako"} <= wanted
    assert {name for name in names(wheels.server) if ".dist-info/" not in name} == wanted


def test_the_clients_wheel_has_every_file(wheels: Wheels) -> None:
    wanted = sources(ROOT / "openapi" / "client", "lossatlas")
    assert {name for name in names(wheels.client) if ".dist-info/" not in name} == wanted


@pytest.mark.parametrize("which", ["server", "client"])
def test_a_wheel_says_what_it_is(wheels: Wheels, which: str) -> None:
    wheel: Path = getattr(wheels, which)
    told = metadata(wheel)
    assert told["Summary"]
    assert told["License-Expression"] == "Apache-2.0"
    assert told["Requires-Python"] == ">=3.11"
    assert "maintainers" in told["Author"]
    assert told["Description-Content-Type"] == "text/markdown"
    assert len(told.get_payload()) > 500
    classifiers = told.get_all("Classifier") or []
    assert "Programming Language :: Python :: 3.11" in classifiers
    urls = dict(url.split(", ") for url in told.get_all("Project-URL") or [])
    assert {"Source", "Documentation", "Changelog", "Issues"} <= set(urls)
    (licence,) = (name for name in names(wheel) if name.endswith("/LICENSE"))
    with zipfile.ZipFile(wheel) as archive:
        assert archive.read(licence) == (ROOT / "LICENSE").read_bytes()


def test_the_servers_demo_requires_the_client(wheels: Wheels) -> None:
    told = metadata(wheels.server).get_all("Requires-Dist") or []
    assert any(re.match(r"lossatlas\[demo\].*; extra == .demo.", one) for one in told), told
    version = metadata(wheels.client)["Version"]
    assert metadata(wheels.server)["Version"] == version


@pytest.mark.server
@pytest.mark.timeout(1200)
def test_together_they_run_the_demonstration(environment: Path, tmp_path: Path) -> None:
    """In an environment of their own, from a folder that is not the checkout."""
    folder = foreign_folder(tmp_path / "work")
    server = str(environment / "bin" / "lossatlas-server")
    surroundings = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), **OWN_SERVERS}
    came_from = subprocess.run(
        [
            environment / "bin" / "python", "-P", "-c",
            "import lossatlas, migrations, service, workers; "
            "print(lossatlas.__file__, migrations.__file__, service.__file__, workers.__file__)",
        ],
        cwd=folder, env=surroundings, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert all(path.startswith(str(environment)) for path in came_from.stdout.split())
    log = tmp_path / "up.log"
    with log.open("wb") as out:
        up = subprocess.Popen(
            [server, "up", "--workers", "2"],
            cwd=folder, env=surroundings, stdout=out, stderr=out,
        )  # fmt: skip
    try:
        endpoint = awaited(folder / ".lossatlas" / "endpoint.json", up, log)
        done = subprocess.run(
            [server, "demo"],
            cwd=folder, env=surroundings, capture_output=True, text=True, check=False, timeout=900,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        assert "is used" in done.stdout
        pictures = sorted(path.name for path in (folder / "demo-output").glob("*.png"))
        assert len(pictures) == 6, pictures
        for name in pictures:
            assert (folder / "demo-output" / name).read_bytes().startswith(PNG)
        serves_what_is_packaged(endpoint)
        up.terminate()
        assert up.wait(60) == 0, log.read_text()
    finally:
        up.terminate()
        up.wait(60)


def awaited(file: Path, up: subprocess.Popen[bytes], log: Path) -> dict[str, str]:
    """What the endpoint's file says, once the service serves."""

    def written() -> bool:
        assert up.poll() is None, log.read_text()
        return file.exists()

    until("the service", written, 180)
    endpoint: dict[str, str] = json.loads(file.read_text())
    return endpoint


def serves_what_is_packaged(endpoint: dict[str, str]) -> None:
    """Templates, static files, the interactive page: what is data in the wheel, and not modules."""
    headers = {"Authorization": f"Bearer {endpoint['key']}"}
    with httpx2.Client(base_url=endpoint["url"], headers=headers, timeout=60) as http:
        (surface, *_) = http.get("/v1/landscapes", params={"kind": "surface"}).json()["items"]
        exported = http.get(f"/v1/landscapes/{surface['id']}/view")
        assert exported.status_code == 200
        assert "<script" in exported.text
        page = http.get("/sign-in")
        assert page.status_code == 200
        statics = re.findall(r'(?:href|src)="(/static/[^"]+)"', page.text)
        assert statics, page.text
        for path in statics:
            assert http.get(path).status_code == 200, path
