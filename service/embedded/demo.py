"""`lossatlas-server demo` and `gallery`: the service on this machine, and a program against it.

Owns who runs beside whom. The program itself, training included, is one of the client's, for the
service knows neither torch nor the client. A service that already serves from the folder is used,
and left running.
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

#: Programs of the client's, and where each leaves what it makes.
DEMO: Final = ("lossatlas.demo", Path("demo-output"))
GALLERY: Final = ("lossatlas.gallery", Path("gallery-output"))

_MOST_WORKERS: Final = 4
_STOP_SECONDS: Final = 5.0
#: As shells say it of a program that Ctrl-C ended.
_INTERRUPTED: Final = 130


class _Ended(Exception):
    """The program is over."""


def main(program: tuple[str, Path] = DEMO, folder: Path | None = None) -> int:
    """Runs a program of the client's; 0 when everything it makes is there.

    Args:
        program: its module, and the folder for what it makes.
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
                return _run(program, folder, signals, [])
            with locking.held(folder):
                return _beside_a_stack(program, folder, signals)
        except Stopped:
            _say("Stopped.")
            return _INTERRUPTED


def _beside_a_stack(program: tuple[str, Path], folder: Path, signals: Signals) -> int:
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


def _run(
    program: tuple[str, Path], folder: Path, signals: Signals, tended: Sequence[Tended]
) -> int:
    """Runs the client's program and looks after the stack meanwhile. Raises Stopped."""
    module, output = program
    # the service is the one of the folder, whatever else the environment names
    others = {k: v for k, v in os.environ.items() if k not in ("LOSSATLAS_URL", "LOSSATLAS_KEY")}
    running = subprocess.Popen(
        # -P: whatever lies in the working folder is not the client
        [sys.executable, "-P", "-m", module, "--output", str(output)],
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
