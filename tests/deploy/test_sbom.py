"""Bills of materials: valid CycloneDX, the same each time, with licences, versions and hashes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from deploy.sbom import BILLS, LOCKS, locked
from tests.deploy.test_locks import ELSEWHERE

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As `make sbom` writes them."""
    folder = tmp_path_factory.mktemp("sbom")
    command = [sys.executable, "deploy/sbom.py", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=240)
    return folder


@pytest.fixture(params=sorted(BILLS))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def bill(written: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((written / f"{name}.cdx.json").read_text())
    return found


def test_it_is_valid(written: Path, name: str) -> None:
    text = (written / f"{name}.cdx.json").read_text()
    fault = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    assert fault is None, fault


def test_it_names_every_package_of_the_lock(bill: dict[str, Any], name: str) -> None:
    packages = {one.name: one for one in locked((LOCKS / f"{name}.txt").read_text())}
    assert len(packages) > 15
    assert {one["name"] for one in bill["components"]} == set(packages)
    for one in bill["components"]:
        package = packages[one["name"]]
        assert one["version"] == package.version
        assert one["purl"] == f"pkg:pypi/{package.name}@{package.version}"
        (source,) = one["externalReferences"]
        assert [each["content"] for each in source["hashes"]] == [*package.hashes]
        if not ELSEWHERE.fullmatch(package.name):
            assert one["licenses"], one["name"]
    assert bill["metadata"]["component"]["licenses"]


def test_what_needs_what_is_in_it(bill: dict[str, Any]) -> None:
    graph = {entry["ref"]: set(entry.get("dependsOn", ())) for entry in bill["dependencies"]}
    assert set(graph) == {"main", *(one["bom-ref"] for one in bill["components"])}
    assert any(needs for ref, needs in graph.items() if ref != "main")
    assert set.union(*graph.values()) <= set(graph)


def test_it_is_the_same_each_time_and_tells_nothing_of_this_machine(
    written: Path, tmp_path: Path
) -> None:
    command = [sys.executable, str(ROOT / "deploy" / "sbom.py"), str(tmp_path)]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=240)
    for name in BILLS:
        text = (written / f"{name}.cdx.json").read_text()
        assert (tmp_path / f"{name}.cdx.json").read_text() == text
        assert str(ROOT) not in text
        assert "file:" not in text
        assert "timestamp" not in json.loads(text)["metadata"]
