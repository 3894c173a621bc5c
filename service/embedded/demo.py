"""`lossatlas-server demo`: the service on this machine, and the client's demonstration against it.

Owns who runs beside whom. The demonstration itself, training included, is a program of the
client's, for the service knows neither torch nor the client. A service that already serves from
the folder is used, and left running.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from service.embedded import endpoint, locking
from service.embedded.graphics import visible_devices
from service.embedded.signals import Signals, Stopped, noted
from service.embedded.stack import Stack, Wishes
from service.embedded.tending import Tended, tend

OUTPUT: Final = Path("demo-output")

_MOST_WORKERS: Final = 4
_STOP_SECONDS: Final = 5.0
#: As shells say it of a program that Ctrl-C ended.
_INTERRUPTED: Final = 130


class _Ended(Exception):
    """The demonstration is over."""


def main(folder: Path | None = None, output: Path = OUTPUT) -> int:
    """Leaves pictures and numbers in `output`; 0 when all of them are there.

    Args:
        folder: of the service's data; `LOSSATLAS_DATA_DIR` or `.lossatlas` when left out.

    Raises:
        Refused, ProcessFailed, Problem, NotInstalled: as `stack.up`.
    """
    folder = (folder or Path(os.environ.get("LOSSATLAS_DATA_DIR") or ".lossatlas")).absolute()
    url = endpoint.read_url(folder)
    with noted() as signals:
        try:
            if url is not None and endpoint.is_ready(url):
                _say(f"A service serves at {url} already; it is used.")
                return _demonstrate(folder, output, signals, [])
            with locking.held(folder):
                return _beside_a_stack(folder, output, signals)
        except Stopped:
            _say("Stopped.")
            return _INTERRUPTED


def _beside_a_stack(folder: Path, output: Path, signals: Signals) -> int:
    stack = Stack(Wishes(folder=folder, port=None, workers=_workers()), signals, _say)
    try:
        stack.start()
        tended = [*(server for _, server in stack.servers), *stack.programs]
        code = _demonstrate(folder, output, signals, tended)
    finally:
        stack.stop()
    if code == 0:
        _say(f"The results are kept in {folder}; `lossatlas-server up` serves them again.")
    return code


def _demonstrate(folder: Path, output: Path, signals: Signals, tended: Sequence[Tended]) -> int:
    """Runs the client's program and looks after the stack meanwhile. Raises Stopped."""
    # the service is the one of the folder, whatever else the environment names
    others = {k: v for k, v in os.environ.items() if k not in ("LOSSATLAS_URL", "LOSSATLAS_KEY")}
    program = subprocess.Popen(
        [sys.executable, "-m", "lossatlas.demo", "--output", str(output)],
        env={**others, "LOSSATLAS_DATA_DIR": str(folder)},
    )

    def pause(seconds: float) -> None:
        # its end wakes us up as that of any child does
        if program.poll() is None:
            signals.pause(seconds)
        if program.poll() is not None:
            raise _Ended

    try:
        with contextlib.suppress(_Ended):
            tend(tended, pause)
    finally:
        _end(program)
    return program.returncode


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
