"""Hostile archives: each is refused by name, and nothing of any of them runs."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from service.programs import ProgramRefused, check_in_child, read_program
from tests.programs import hostile
from tests.programs.archive import Archive
from tests.programs.conftest import REFERENCE
from tests.programs.hostile import HOSTILE, Hostile

#: Reads archives with a hook on every event by which Python runs, loads, imports or writes.
_AUDITED = """
import json, sys
from pathlib import Path
from service.programs import ProgramRefused, read_program
good, *paths = [Path(argument) for argument in sys.argv[1:]]
with read_program(good) as program:
    program.signature.to_json()
seen = []
def watch(event, arguments):
    if event == "open":
        if set(str(arguments[1])) & set("wax+"):
            seen.append(f"open {arguments[:2]!r}")
    elif event.split(".")[0] in {
        "exec", "compile", "import", "pickle", "marshal", "os", "subprocess", "ctypes", "socket",
        "shutil", "tempfile", "code", "cpython",
    }:
        seen.append(f"{event} {arguments!r:.200}")
sys.addaudithook(watch)
for path in paths:
    try:
        read_program(path).__exit__(None, None, None)
    except ProgramRefused:
        pass
    except MemoryError:
        pass
print(json.dumps(seen))
"""


@pytest.fixture(scope="module")
def base() -> Archive:
    return Archive.of(REFERENCE / "digits_convnet" / "program.pt2")


def test_the_archive_taken_apart_and_rebuilt_is_read(base: Archive, tmp_path: Path) -> None:
    """What the cases change is accepted unchanged: they are refused for what they change."""
    path = tmp_path / "program.pt2"
    path.write_bytes(base.to_bytes())
    with read_program(path) as program:
        assert len(program.graph.nodes) == 8


def test_the_payloads_would_run(tmp_path: Path) -> None:
    """The canary is alive: loading or evaluating a payload does touch it."""
    canary = tmp_path / "canary"
    pickle.loads(hostile.pickled(canary)).close()  # noqa: S301 - our own payload
    assert canary.exists()
    canary.unlink()
    eval(hostile.expression(canary))  # noqa: S307 - our own payload
    assert canary.exists()


@pytest.mark.parametrize("case", HOSTILE, ids=lambda case: case.name)
def test_is_refused(case: Hostile, base: Archive, tmp_path: Path) -> None:
    """In the child, as the service does it: the code of the rule, a remedy, and no trace."""
    canary = tmp_path / "canary"
    path = tmp_path / "program.pt2"
    path.write_bytes(case.build(base, canary))
    before = sorted(p.name for p in tmp_path.iterdir())
    with pytest.raises(ProgramRefused) as caught:
        check_in_child(path)
    assert caught.value.code == case.code, str(caught.value)
    assert caught.value.detail
    json.dumps(caught.value.to_json()).encode()
    caught.value.detail.encode()
    caught.value.pointer.encode()
    assert sorted(p.name for p in tmp_path.iterdir()) == before
    assert not canary.exists()


def test_what_is_never_looked_at_does_no_harm(base: Archive, tmp_path: Path) -> None:
    """Sample inputs, guards, ranges, traces and metadata full of payloads: ignored."""
    canary = tmp_path / "canary"
    good, path = tmp_path / "good.pt2", tmp_path / "program.pt2"
    good.write_bytes(base.to_bytes())
    path.write_bytes(hostile.harmless(base, canary))
    assert check_in_child(path) == check_in_child(good)
    with read_program(path) as program, read_program(good) as plain:
        assert program.graph == plain.graph
    assert not canary.exists()


def test_python_sees_nothing_run(base: Archive, tmp_path: Path) -> None:
    """With the interpreter's own audit hooks: no code, import, process, or file written."""
    good = tmp_path / "good.pt2"
    good.write_bytes(base.to_bytes())
    paths = []
    for index, case in enumerate(HOSTILE):
        if case.name == "as_many_objects_as_fit":
            continue  # takes gigabytes where no limit is set; refused in the child above
        paths.append(tmp_path / f"{index}.pt2")
        paths[-1].write_bytes(case.build(base, tmp_path / "canary"))
    paths.append(tmp_path / "harmless.pt2")
    paths[-1].write_bytes(hostile.harmless(base, tmp_path / "canary"))
    done = subprocess.run(
        [sys.executable, "-I", "-c", _AUDITED, str(good), *map(str, paths)],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert json.loads(done.stdout) == []
    assert not (tmp_path / "canary").exists()


def test_the_audit_would_see(tmp_path: Path) -> None:
    """The hook of the test above does see a pickle being loaded."""
    canary = tmp_path / "canary"
    script = _AUDITED.replace(
        "read_program(path).__exit__(None, None, None)",
        "import pickle; pickle.loads(path.read_bytes())",
    )
    payload, good = tmp_path / "payload", REFERENCE / "digits_mlp" / "program.pt2"
    payload.write_bytes(hostile.pickled(canary))
    done = subprocess.run(
        [sys.executable, "-I", "-c", script, str(good), str(payload)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    seen = "\n".join(json.loads(done.stdout))
    assert "pickle.find_class" in seen
    assert "open" in seen
    assert canary.exists()
