"""Honest timing: both sides interleaved in one run, medians and ratios, the machine named."""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Sample:
    """Seconds of each round of one side."""

    name: str
    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    def to_json(self) -> dict[str, Any]:
        return {
            "median_s": round(self.median, 4),
            "min_s": round(min(self.seconds), 4),
            "max_s": round(max(self.seconds), 4),
            "rounds": len(self.seconds),
        }


def interleave(sides: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, Sample]:
    """Runs A B A B … and times each call; a warm-up round of every side is not counted."""
    for run in sides.values():
        run()
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, run in sides.items():
            began = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - began)
    return {name: Sample(name, tuple(values)) for name, values in seconds.items()}


def pairwise_ratio(over: Sample, under: Sample) -> float:
    """Median of the ratios round by round, which drift of the machine leaves alone."""
    return statistics.median(a / b for a, b in zip(over.seconds, under.seconds, strict=True))


def machine() -> dict[str, Any]:
    """What the numbers were measured on."""
    cpu = platform.processor()
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                cpu = line.split(":", 1)[1].strip()
                break
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
        "date": datetime.now(UTC).date().isoformat(),
    }


def write(name: str, body: Mapping[str, Any]) -> Path:
    """Keeps a benchmark's result beside the benchmarks, with the machine."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps({"machine": machine(), **body}, indent=2) + "\n")
    return path
