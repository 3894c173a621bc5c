"""The child that checks: quick, limited, and never an error of ours."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from service.programs import ProgramRefused, check, check_in_child, checking, read_program
from tests.programs.networks import Case


def test_gives_the_signature(case: Case, exported: dict[str, Path]) -> None:
    with read_program(exported[case.name]) as program:
        assert check_in_child(exported[case.name]) == program.signature


def test_is_quick(reference: Path) -> None:
    """The best of a few, because the machine may be busy with something else."""
    times = []
    for _ in range(5):
        start = time.perf_counter()
        check_in_child(reference)
        times.append(time.perf_counter() - start)
    assert min(times) < 0.3


def test_imports_neither_torch_nor_numpy(reference: Path) -> None:
    script = (
        "import sys, pathlib; from service.programs import check; "
        "check.main(pathlib.Path(sys.argv[1])); "
        "print([m for m in ('torch', 'numpy', 'pickle', 'sympy') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", script, str(reference)],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_limits_itself(tmp_path: Path) -> None:
    """After its limits are set the child can neither write a file nor take more memory."""
    script = (
        "from service.programs import check; check._limit()\n"
        "try:\n    bytearray(2 << 30)\nexcept MemoryError:\n    print('memory')\n"
        f"try:\n    f = open({str(tmp_path / 'made')!r}, 'wb'); f.write(b'x'); f.flush()\n"
        "except OSError:\n    print('file')\n"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", "import signal; signal.signal(25, 1)\n" + script],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert done.stdout.split() == ["memory", "file"]
    assert not (tmp_path / "made").exists() or (tmp_path / "made").stat().st_size == 0


def test_sees_no_variable_of_the_service(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, reference: Path
) -> None:
    """A stand-in interpreter writes down the environment it is given."""
    seen = tmp_path / "seen"
    recorder = tmp_path / "python"
    recorder.write_text(f"#!/bin/sh\n/usr/bin/env > {seen}\n")
    recorder.chmod(0o755)
    monkeypatch.setenv("S3_SECRET_KEY", "hush")
    monkeypatch.setattr(sys, "executable", str(recorder))
    with pytest.raises(ProgramRefused) as caught:
        check_in_child(reference)
    assert caught.value.code == "check_failed"
    names = {line.partition("=")[0] for line in seen.read_text().splitlines()}
    assert "LC_ALL" in names
    assert "S3_SECRET_KEY" not in names


@pytest.mark.parametrize(
    "script", ["exit 3", "kill -SEGV $$", "echo '{'", "echo '[]'", "echo '{\"signature\": {}}'"]
)
def test_a_child_that_fails_is_a_refusal(
    script: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, reference: Path
) -> None:
    broken = tmp_path / "python"
    broken.write_text(f"#!/bin/sh\n{script}\n")
    broken.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(broken))
    with pytest.raises(ProgramRefused) as caught:
        check_in_child(reference)
    assert caught.value.code == "check_failed"


@pytest.mark.parametrize("script", ["sleep 600 & echo $! > PIDS; wait", "yes"])
def test_a_child_that_does_not_end_is_ended_with_its_children(
    script: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, reference: Path
) -> None:
    pids = tmp_path / "pids"
    hanging = tmp_path / "python"
    hanging.write_text(f"#!/bin/sh\n{script.replace('PIDS', str(pids))}\n")
    hanging.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(hanging))
    start = time.monotonic()
    with pytest.raises(ProgramRefused) as caught:
        check_in_child(reference, seconds=1.0)
    assert caught.value.code == "check_timed_out"
    assert time.monotonic() - start < 20
    if pids.exists():
        pid = int(pids.read_text())
        deadline = time.monotonic() + 20
        while _alive(pid):
            assert time.monotonic() < deadline, "a process of the check outlived it"
            os.sched_yield()


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_a_path_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ProgramRefused) as caught:
        check_in_child(tmp_path / "absent.pt2")
    assert caught.value.code == "check_failed"


def test_limits_are_sane() -> None:
    assert check.MEMORY_BYTES <= 1 << 30
    assert check.CPU_SECONDS < checking.WALL_SECONDS
