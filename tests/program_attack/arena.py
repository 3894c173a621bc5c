"""Attacks carried out in processes: a fresh one after each that dies, and what became of all.

Owns starting, reading and ending the processes, and the deadline of one attack.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

#: One attack's; a model's ingest has as long.
SECONDS = 60.0


@dataclass
class Report:
    """What became of attacks.

    Attributes:
        outcomes: how many ended in each way, by its first word.
        deaths: those that ended their process, each with the signal.
        overdue: those that took longer than an ingest may.
        wrong: those that were computed, and not to what they should be.
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    deaths: list[str] = field(default_factory=list)
    overdue: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


def attack(kind: str, numbers: Sequence[int]) -> Report:
    """Carries out every one."""
    report, left = Report(), list(numbers)
    while left:
        reached = _run(kind, left, report)
        left = left[left.index(reached) + 1 :] if reached is not None else []
    return report


def _run(kind: str, numbers: list[int], report: Report) -> int | None:
    """One process; the number at which it ended too early, or nothing."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.program_attack.victim", kind, *map(str, numbers)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # where an allocation that fails is to fail, none is kept back
        env={**os.environ, "OMP_NUM_THREADS": "1", "MALLOC_TRIM_THRESHOLD_": "0"},
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        late = threading.Event()
        said: list[str] = []
        listening = threading.Thread(target=lambda: said.extend(process.stderr or ()))
        listening.start()

        def end() -> None:
            late.set()
            process.kill()

        # the first line comes once torch is imported
        timer = threading.Timer(SECONDS, end)
        timer.start()
        current, ended = "", False
        for line in process.stdout:
            timer.cancel()
            timer = threading.Timer(SECONDS, end)
            timer.start()
            if line.startswith("> "):
                current = line[2:].strip()
            elif line.startswith("< "):
                outcome = line[2:].strip()
                report.outcomes[outcome.partition(" ")[0]] += 1
                if outcome.startswith("wrong"):
                    report.wrong.append(current)
                current = ""
            elif line.strip() == "end":
                ended = True
        timer.cancel()
        process.wait()
        listening.join()
    if ended:
        return None
    if late.is_set():
        report.overdue.append(current)
    elif process.returncode < 0:
        report.deaths.append(f"{current}: signal {-process.returncode}")
    else:
        raise AssertionError(f"{current}: {''.join(said)[-2000:]}")
    assert current, "".join(said)[-2000:]
    return int(current.split(" ", 1)[0])
