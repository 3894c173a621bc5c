"""Children stop when asked, are killed when they do not, and die with their parent."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from service.embedded.processes import Child, ProcessFailed, Program, end_leftovers, run, stop
from tests.embedded import machine

#: Says that it has begun, then what signal it got; ignores it if told so.
PROGRAM = """
import signal, sys, time
def on(number, frame):
    print("got", number, flush=True)
    if "deaf" not in sys.argv: sys.exit(0)
signal.signal(signal.SIGTERM, on)
print("begun", flush=True)
while True: time.sleep(60)
"""


def started(tmp_path: Path, *words: str) -> Child:
    child = Child(
        Program(
            name="program",
            arguments=[sys.executable, "-c", PROGRAM, *words],
            log=tmp_path / "logs" / "program.log",
            folder=tmp_path,
        )
    )
    machine.until("begun", lambda: "begun" in child.program.log.read_text())
    return child


def test_it_stops_when_asked(tmp_path: Path) -> None:
    child = started(tmp_path)
    began = time.monotonic()
    assert stop([child], 20.0) == []
    assert time.monotonic() - began < 10.0
    assert child.reap() == "exit code 0"
    assert f"got {int(signal.SIGTERM)}" in child.program.log.read_text()


def test_it_is_killed_when_it_does_not(tmp_path: Path) -> None:
    child = started(tmp_path, "deaf")
    assert stop([child], 0.3) == ["program"]
    assert child.reap() == "killed by SIGKILL"
    assert not machine.alive(child.pid)


def test_what_it_started_goes_with_it(tmp_path: Path) -> None:
    child = Child(
        Program(
            name="shell",
            arguments=[shutil.which("sh") or "/bin/sh", "-c", "sleep 1000 & echo $! ; exit 3"],
            log=tmp_path / "shell.log",
        )
    )
    machine.until("the end", child.ended)
    grandchild = int((tmp_path / "shell.log").read_text())
    assert machine.alive(grandchild)
    assert child.reap() == "exit code 3"
    machine.until("its end", lambda: not machine.alive(grandchild))


def test_a_failure_shows_the_end_of_this_runs_log(tmp_path: Path) -> None:
    program = Program(
        name="program",
        arguments=[sys.executable, "-c", "import sys; sys.exit('what went wrong')"],
        log=tmp_path / "program.log",
    )
    program.log.write_text("from an earlier run\n")
    with pytest.raises(ProcessFailed, match=r"exit code 1[\s\S]*what went wrong") as failed:
        run(program, 20.0)
    assert "earlier" not in str(failed.value)


def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    program = Program(name="nothing", arguments=["/nonexistent/x"], log=tmp_path / "log")
    with pytest.raises(ProcessFailed, match="/nonexistent/x"):
        run(program, 20.0)


def test_logs_are_private(tmp_path: Path) -> None:
    child = started(tmp_path)
    stop([child], 20.0)
    assert child.program.log.stat().st_mode & 0o777 == 0o600
    assert child.program.log.parent.stat().st_mode & 0o777 == 0o700


PARENT = """
import sys, time
from pathlib import Path
from service.embedded.processes import Child, Program
child = Child(Program(name="c", arguments=[sys.executable, "-c", "import time; time.sleep(1000)"],
                      log=Path(sys.argv[1]) / "c.log"))
print(child.pid, flush=True)
time.sleep(1000)
"""


def test_it_dies_with_its_parent(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path)], stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert machine.alive(child)
        parent.kill()
    machine.until("its end", lambda: not machine.alive(child))


def test_leftovers_of_a_folder_are_ended_and_nobody_else(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "theirs").mkdir()
    mine, theirs = started(tmp_path / "mine"), started(tmp_path / "theirs")
    end_leftovers(tmp_path / "mine")
    assert mine.ended()
    assert not theirs.ended()
    mine.reap()
    stop([theirs], 20.0)
