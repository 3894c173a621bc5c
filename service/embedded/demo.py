"""`lossatlas-server demo` and `gallery`: the service on this machine, and a program against it.

Owns who runs beside whom. The program itself, training included, stands on the client, for the
service knows neither torch nor the client. A service that already serves from the folder is used,
and left running.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from service.embedded import endpoint, locking
from service.embedded.graphics import visible_devices
from service.embedded.servers import NotInstalled
from service.embedded.signals import Signals, Stopped, noted
from service.embedded.stack import Stack, Wishes
from service.embedded.tending import Tended, tend


@dataclass(frozen=True)
class Program:
    """A program that runs against the service.

    Attributes:
        package: what has to be installed for it.
        module: what is run.
        output: the folder for what it makes.
        lacking: what to do where the package is not there.
    """

    package: str
    module: str
    output: Path
    lacking: str


DEMO: Final = Program(
    "lossatlas",
    "lossatlas.demo",
    Path("demo-output"),
    "the demonstration is the client's: pip install 'lossatlas[demo]'",
)
GALLERY: Final = Program(
    "lossatlas_gallery",
    "lossatlas_gallery",
    Path("gallery-output"),
    "the gallery is a program of Lossatlas's repository: in a checkout, make gallery",
)

_MOST_WORKERS: Final = 4
_STOP_SECONDS: Final = 5.0
#: As shells say it of a program that Ctrl-C ended.
_INTERRUPTED: Final = 130


class _Ended(Exception):
    """The program is over."""


def main(program: Program = DEMO) -> int:
    """Runs a program; 0 when everything it makes is there.

    The service's data are in the folder `LOSSATLAS_DATA_DIR`, or in `.lossatlas`.

    Raises:
        NotInstalled: the program is not there, or as `stack.up`.
        Refused, ProcessFailed, Problem: as `stack.up`.
    """
    if find_spec(program.package) is None:
        raise NotInstalled(program.lacking)
    folder = Path(os.environ.get("LOSSATLAS_DATA_DIR") or ".lossatlas").absolute()
    url = endpoint.read_url(folder)
    with noted() as signals:
        try:
            if url is not None and endpoint.is_ready(url):
                _say(f"A service serves at {url} already; it is used.")
                return _run(program, folder, signals, [])
            with locking.held(folder):
                return _beside_a_stack(program, folder, signals)
        except Stopped:
            _say("Stopped.")
            return _INTERRUPTED


def _beside_a_stack(program: Program, folder: Path, signals: Signals) -> int:
    stack = Stack(Wishes(folder=folder, port=None, workers=_workers()), signals, _say)
    try:
        stack.start()
        tended = [*(server for _, server in stack.servers), *stack.programs]
        code = _run(program, folder, signals, tended)
    finally:
        stack.stop()
    if code == 0:
        _say(f"The results are kept in {folder}; `lossatlas-server up` serves them again.")
    return code


def _run(program: Program, folder: Path, signals: Signals, tended: Sequence[Tended]) -> int:
    """Runs the program and looks after the stack meanwhile. Raises Stopped."""
    # the service is the one of the folder, whatever else the environment names
    others = {k: v for k, v in os.environ.items() if k not in ("LOSSATLAS_URL", "LOSSATLAS_KEY")}
    running = subprocess.Popen(
        # -P: whatever lies in the working folder is not the program
        [sys.executable, "-P", "-m", program.module, "--output", str(program.output)],
        env={**others, "LOSSATLAS_DATA_DIR": str(folder)},
    )

    def pause(seconds: float) -> None:
        # its end wakes us up as that of any child does
        if running.poll() is None:
            signals.pause(seconds)
        if running.poll() is not None:
            raise _Ended

    try:
        with contextlib.suppress(_Ended):
            tend(tended, pause)
    finally:
        _end(running)
    # as shells say it of a program that a signal ended
    return running.returncode if running.returncode >= 0 else 128 - running.returncode


def _end(program: subprocess.Popen[bytes]) -> None:
    if program.poll() is None:
        program.terminate()
        try:
            program.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            program.kill()
            program.wait()


def _workers() -> int:
    return len(visible_devices()) or min(len(os.sched_getaffinity(0)), _MOST_WORKERS)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
