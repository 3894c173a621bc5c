"""The locks hold what they say: every package needed, at the version tested, with its hashes."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

from deploy.locks.write import CONSTRAINTS, GITLAB, LOCKS, Lock, in_template
from deploy.sbom import LOCKS as FOLDER
from deploy.sbom import Locked, locked, normal

ROOT = Path(__file__).parents[2]
#: Of CUDA and its compiler: not where the tests run.
ELSEWHERE = re.compile(r"nvidia-.*|cuda-.*|triton")


def packages(lock: Lock) -> dict[str, Locked]:
    return {one.name: one for one in locked(lock.path.read_text())}


def pins() -> dict[str, str]:
    lines = (Requirement(one) for one in CONSTRAINTS.read_text().splitlines() if "==" in one)
    return {normal(one.name): next(iter(one.specifier)).version for one in lines}


def needed(project: dict[str, Any], extras: tuple[str, ...]) -> dict[str, Requirement]:
    """Everything that a project needs here, and what that needs, by name."""
    wanted = [*project["dependencies"]]
    for extra in extras:
        wanted += project["optional-dependencies"][extra]
    found: dict[str, Requirement] = {}
    todo = [(Requirement(one), "") for one in wanted]
    while todo:
        one, extra = todo.pop()
        name = normal(one.name)
        if one.marker is not None and not one.marker.evaluate({"extra": extra}):
            continue
        if name in found and one.extras <= found[name].extras:
            continue
        found[name] = one
        for more in distribution(one.name).requires or ():
            todo += [(Requirement(more), asked) for asked in ("", *one.extras)]
    return found


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_a_lock_is_whole(lock: Lock) -> None:
    project = tomllib.loads((lock.project / "pyproject.toml").read_text())["project"]
    have = packages(lock)
    for name, wanted in needed(project, lock.extras).items():
        assert name in have, f"{lock.path.name} lacks {name}; run `make locks`"
        assert Version(have[name].version) in wanted.specifier, f"{name}; run `make locks`"
    assert "setuptools" in have, "what builds our wheels is held to its hash too"


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_every_package_has_hashes_and_the_version_that_was_tested(lock: Lock) -> None:
    tested = pins()
    for one in packages(lock).values():
        assert one.hashes, one
        assert len(set(one.hashes)) == len(one.hashes)
        if not ELSEWHERE.fullmatch(one.name):
            assert one.version == tested.get(one.name), f"{one}; run `make locks`"


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_a_lock_names_no_place(lock: Lock) -> None:
    """No index, no file, no link: where packages come from is the operator's to say."""
    text = lock.path.read_text()
    assert not re.search(r"://|^-|--(index|find|extra|trusted)| @ |file:", text, re.MULTILINE)
    for line in text.splitlines():
        assert re.fullmatch(
            r"# Written by .*|[A-Za-z0-9._-]+==[^ ;]+( ; [^\\]+)? \\|"
            r"    --hash=sha256:[0-9a-f]{64}( \\)?",
            line,
        ), line


def test_the_gitlab_template_has_the_clients_lock() -> None:
    template, client = GITLAB.read_text(), (FOLDER / "client.txt").read_text()
    assert in_template(template, client) == template, "run `make locks`"
    (script,) = yaml.safe_load(template)[".lossatlas-gate"]["before_script"]
    written = script.partition("<<'LOCK'\n")[2].partition("\nLOCK\n")[0]
    assert written == f"# lock: begin\n{client}# lock: end"
    with pytest.raises(ValueError, match="no one place"):
        in_template("nothing", client)


def test_ci_installs_nothing_without_a_hash_or_alone() -> None:
    """Every pip of the templates: by hashes, or our own client without what it needs."""
    ci = ROOT / "deploy" / "ci"
    calls = [
        line.strip()
        for path in ci.rglob("*")
        if path.suffix in (".sh", ".yml")
        for line in path.read_text().splitlines()
        if re.search(r"^[^#]*\bpip\b.* -(r|-) ", line)
    ]
    assert len(calls) == 6, calls
    for call in calls:
        assert "--require-hashes" in call or ("--no-deps" in call and "isolation" in call), call


def test_actions_of_others_are_named_by_their_commit() -> None:
    """In what runs, and in what the guides show for others to run."""
    texts = [*(ROOT / "deploy" / "ci").rglob("*.*"), *(ROOT / "openapi" / "docs").glob("*.md")]
    for path in [*texts, ROOT / "README.md"]:
        for used in re.findall(r"uses: *(\S+)", path.read_text()):
            ours = used.startswith("your-org/lossatlas/")
            assert ours or re.search(r"@[0-9a-f]{40}$", used), f"{path}: {used}"
