"""The import contracts hold, and each breaks by what it is there to keep out.

`lint-imports` runs as `make lint` runs it, over a copy of the tree with one import, or one folder,
too many.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.fences.trespass import TRESPASSES, Trespass

ROOT = Path(__file__).parents[2]
PACKAGES = (
    "service",
    "workers",
    "migrations",
    "openapi/client/lossatlas",
    "openapi/gallery/lossatlas_gallery",
)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packages' modules and `pyproject.toml`."""
    folder = tmp_path_factory.mktemp("tree")
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            own = folder / path.relative_to(ROOT)
            own.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, own)
    shutil.copyfile(ROOT / "pyproject.toml", folder / "pyproject.toml")
    return folder


def lint(copy: Path, *options: str) -> subprocess.CompletedProcess[str]:
    # the copy's own packages come before those that are installed
    roots = (copy, copy / "openapi/client", copy / "openapi/gallery")
    path = os.pathsep.join(map(str, roots))
    script = Path(sys.executable).with_name("lint-imports")
    return subprocess.run(
        [script, "--no-logo", *options],
        cwd=copy,
        env={**os.environ, "PYTHONPATH": path, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@contextmanager
def appended(file: Path, line: str) -> Iterator[None]:
    before = file.read_text(encoding="utf-8")
    file.write_text(f"{before}\n{line}\n", encoding="utf-8")
    try:
        yield
    finally:
        file.write_text(before, encoding="utf-8")


def contracts() -> list[str]:
    with (ROOT / "pyproject.toml").open("rb") as file:
        return [each["id"] for each in tomllib.load(file)["tool"]["importlinter"]["contracts"]]


def test_all_are_kept(copy: Path) -> None:
    told = lint(copy)
    assert told.returncode == 0, told.stdout
    assert f"Contracts: {len(contracts())} kept, 0 broken." in told.stdout


def test_every_contract_has_its_trespass() -> None:
    assert {each.contract for each in TRESPASSES} == set(contracts())


@pytest.mark.parametrize("trespass", TRESPASSES, ids=str)
def test_a_forbidden_import_breaks_its_contract(copy: Path, trespass: Trespass) -> None:
    with appended(copy / trespass.file, trespass.line):
        told = lint(copy, "--contract", trespass.contract)
    assert told.returncode == 1
    assert "Contracts: 0 kept, 1 broken." in told.stdout, told.stdout + told.stderr
    _, _, imported = trespass.line.partition(" ")
    importer = (
        re.sub("^openapi/(client|gallery)/", "", trespass.file)
        .removesuffix(".py")
        .replace("/", ".")
    )
    # `import sqlalchemy.orm` is an import of SQLAlchemy
    assert f"{importer} -> {imported.split('.')[0]}" in told.stdout


@pytest.mark.parametrize("root", ["service", "workers"])
def test_a_folder_that_nobody_placed_breaks_the_rows(copy: Path, root: str) -> None:
    folder = copy / root / "newcomer"
    folder.mkdir()
    try:
        (folder / "__init__.py").write_text('"""A folder that stands in no row."""\n')
        told = lint(copy, "--contract", f"{root}-rows")
    finally:
        shutil.rmtree(folder)
    assert told.returncode == 1
    assert f"- {root}.newcomer" in told.stdout


def test_a_room_that_nobody_named_knows_nothing_of_the_service(copy: Path) -> None:
    folder = copy / "workers" / "newcomer"
    folder.mkdir()
    try:
        (folder / "__init__.py").write_text('"""A new room."""\n')
        (folder / "half.py").write_text("import service.domain.ids\n")
        told = lint(copy, "--contract", "service-for-workers")
    finally:
        shutil.rmtree(folder)
    assert told.returncode == 1
    assert "workers.newcomer.half -> service.domain.ids" in told.stdout
