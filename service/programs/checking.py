"""Checks an archive in a short-lived process, so that a hostile one can hurt nothing else.

Owns the process: its command, its empty environment, its deadline and the bound on its answer. The
process limits itself before it opens the archive (`check`). However it ends, the caller gets a
signature or a refusal.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, Any, Final

from service.programs.refusal import EXPORT_HINT, ProgramRefused
from service.programs.signature import Signature

WALL_SECONDS: Final = 60.0
_MOST_ANSWER: Final = 64 << 20
_CHUNK: Final = 1 << 16


def check_in_child(path: Path, *, seconds: float = WALL_SECONDS) -> Signature:
    """The signature of the program at `path`, read in a child.

    Raises:
        ProgramRefused: the archive breaks a rule; or `check_timed_out` after `seconds`, or
            `check_failed` when the child died.
    """
    child = subprocess.Popen(
        [sys.executable, "-I", "-m", "service.programs.check", os.fspath(path.absolute())],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd="/",
        env={"LC_ALL": "C.UTF-8"},
        start_new_session=True,
    )
    assert child.stdout is not None  # noqa: S101 - a pipe was asked for
    try:
        answer = _read_all(child.stdout, time.monotonic() + seconds)
        if answer is None:
            raise ProgramRefused(
                "check_timed_out",
                f"reading the program took longer than {seconds:g} s; {EXPORT_HINT}",
            )
    finally:
        _end(child)
    return _signature(answer)


def _read_all(stream: IO[bytes], deadline: float) -> bytes | None:
    """Everything the child writes; nothing when it is late or writes without end."""
    answer = bytearray()
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        while (left := deadline - time.monotonic()) > 0:
            if not selector.select(left):
                continue
            piece = os.read(stream.fileno(), _CHUNK)
            if not piece:
                return bytes(answer)
            answer += piece
            if len(answer) > _MOST_ANSWER:
                break
    return None


def _end(child: subprocess.Popen[bytes]) -> None:
    """Ends the child's whole group, whatever state it is in, and reaps the child."""
    # An exited child stays in its group until it is reaped: the number is still its own.
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        child.kill()
    child.wait()
    if child.stdout is not None:
        child.stdout.close()


def _signature(answer: bytes) -> Signature:
    try:
        verdict: dict[str, Any] = json.loads(answer)
        refused = verdict.get("refused")
        if refused is None:
            return Signature.from_json(verdict["signature"])
        refusal = ProgramRefused(refused["code"], refused["detail"], refused["pointer"])
    except (ValueError, KeyError, TypeError, AttributeError):
        refusal = ProgramRefused(
            "check_failed",
            "the program could not be read within the limits of time and memory of the check; "
            f"{EXPORT_HINT}",
        )
    raise refusal
