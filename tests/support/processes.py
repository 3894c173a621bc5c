"""Processes as /proc shows them: who descends from whom, and who is still there."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Process:
    """A process when it was looked at."""

    pid: int
    parent: int
    state: str
    command: tuple[str, ...]

    def runs(self, *words: str) -> bool:
        """Whether every word occurs among its arguments."""
        return all(any(word in part for part in self.command) for word in words)


def everything() -> list[Process]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            process = look(int(entry.name))
            if process is not None:
                found.append(process)
    return found


def look(pid: int) -> Process | None:
    """The process, or None when there is none (a zombie counts as none)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        command = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    if fields[0] in "ZX":
        return None
    return Process(pid, int(fields[1]), fields[0], tuple(command.split("\0")))


def descendants(pid: int) -> list[Process]:
    """Every living process below `pid`, itself left out."""
    known = everything()
    family = {pid}
    grown = True
    while grown:
        more = {p.pid for p in known if p.parent in family} - family
        grown = bool(more)
        family |= more
    return [p for p in known if p.pid in family and p.pid != pid]


def kill(pid: int, number: int = signal.SIGKILL) -> None:
    os.kill(pid, number)


def until(what: str, look_again: Callable[[], T | None], seconds: float = 60.0) -> T:
    """The first value that is neither None nor False; AssertionError when time is over."""
    deadline = time.monotonic() + seconds
    while True:
        found = look_again()
        if found is not None and found is not False:
            return found
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.02)
