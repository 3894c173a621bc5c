"""Where a child cannot be confined: refused if that is required, said in any case.

The machine is made one without Landlock and seccomp, whatever it is.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


def _run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    older = [sys.executable, "-m", "tests.support.older_kernel"]
    return subprocess.run(
        [*older, sys.executable, "-P", "-m", *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_worker_refuses_to_compute_where_confinement_is_required(tmp_path: Path) -> None:
    environment = {
        "LOSSATLAS_CONFINEMENT": "required",
        "LOSSATLAS_DATA_DIR": str(tmp_path / "data"),
    }
    for program in (("workers",), ("service", "worker")):
        done = _run(*program, **environment)
        assert done.returncode == 2, done.stdout + done.stderr
        last = done.stderr.strip().splitlines()[-1]
        assert last.startswith("lossatlas-server: LOSSATLAS_CONFINEMENT=required")
        assert "seccomp" in last
        assert "best-effort" in last
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(("confinement", "state"), [("required", "bad"), ("best-effort", "note")])
def test_the_doctor_says_what_is_lacking(tmp_path: Path, confinement: str, state: str) -> None:
    done = _run("service", "doctor", "--data", str(tmp_path), LOSSATLAS_CONFINEMENT=confinement)
    lines = {line[6:18].strip(): line for line in done.stdout.splitlines()}
    assert lines["Confinement"].startswith(f"{state} ")
    assert "lacking: the network" in lines["Confinement"]
    assert (done.returncode == 1) is (state == "bad")


def test_a_confinement_that_is_no_word_of_ours_stops_the_process() -> None:
    done = _run("service", "api", LOSSATLAS_CONFINEMENT="none")
    assert done.returncode == 2
    assert "confinement" in done.stderr.lower()
