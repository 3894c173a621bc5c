"""A fleet of many workers, simulated from what one machine was measured to do.

A worker claims a unit, computes, beats every ten seconds, stores the result and reports. The
database is a queue: transactions wait for one another, each for as long as it keeps the database
busy, so that no more pass than were measured to. Everything else of a transaction's time, and the
store, costs the worker latency but no other worker anything. Computing times vary by a fifth.

    python deploy/simulation/fleet.py            prints the table
    python deploy/simulation/fleet.py --write    and rewrites results.json beside this file

Standard library only. It is a simulation: it knows nothing of networks, of stragglers beyond that
fifth, of failures.
"""

from __future__ import annotations

import heapq
import json
import random
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
MEASURED = HERE.parents[1] / "tests" / "benchmarks" / "results" / "claims.json"
RESULTS = HERE / "results.json"

BEAT_SECONDS = 10.0
SPREAD = 0.2
SEED = 1
#: Simulated time, after as much to settle.
SECONDS = 300.0


@dataclass(frozen=True)
class Costs:
    """Seconds, from the benchmark `claims`.

    Attributes:
        cycle: that a claim, a beat and a report together keep the database busy: one over the most
            cycles a second that were reached.
        beat: of these, the beat's part.
        latency: that a worker waits for a claim and a report of a database that is idle, and for
            the store.
    """

    cycle: float
    beat: float
    latency: float

    @classmethod
    def of(cls, measured: dict[str, Any], scenario: str) -> Costs:
        by_clients = measured[scenario]
        cycle = 1.0 / max(body["cycles_per_s"] for body in by_clients.values())
        alone = by_clients["1"]
        parts = {n: alone[f"{n}_median_ms"] / 1e3 for n in ("claim", "beat", "report")}
        return cls(
            cycle=cycle,
            beat=cycle * parts["beat"] / sum(parts.values()),
            latency=parts["claim"] + parts["report"] + measured["store"]["put_median_ms"] / 1e3,
        )


@dataclass(frozen=True)
class Found:
    """What came of a simulation.

    Attributes:
        busy: share of the workers' time spent computing.
        units_per_s: finished.
        waiting_ms: mean time that a claim or a report waits for its turn.
        database: share of the time that the database is busy.
    """

    workers: int
    unit_seconds: float
    busy: float
    units_per_s: float
    waiting_ms: float
    database: float


class Queue:
    """A server that does one thing after another."""

    def __init__(self) -> None:
        self.free = 0.0
        self.worked = 0.0

    def serve(self, now: float, seconds: float) -> float:
        """When what arrives now, which must not be before what arrived last, is done."""
        self.free = max(self.free, now) + seconds
        self.worked += seconds
        return self.free


def steady(workers: int, unit_seconds: float, costs: Costs) -> Found:
    """A fleet with more work than it can do."""
    draw = random.Random(SEED)  # noqa: S311 (no secret)
    database = Queue()
    half = (costs.cycle - costs.beat) / 2
    computed = waited = 0.0
    finished = turns = 0
    # (when, order, worker's next step); steps: claim, report, beat
    order = 0
    events: list[tuple[float, int, str, float]] = []

    def later(when: float, step: str, ends: float) -> None:
        nonlocal order
        order += 1
        heapq.heappush(events, (when, order, step, ends))

    for _ in range(workers):
        later(draw.uniform(0, unit_seconds), "claim", 0.0)
    worked = 0.0
    begun = False
    while events:
        now, _, step, ends = heapq.heappop(events)
        if now >= 2 * SECONDS:
            break
        if now >= SECONDS and not begun:
            begun, worked = True, database.worked
        if step == "beat":
            database.serve(now, costs.beat)
            if now + BEAT_SECONDS < ends:
                later(now + BEAT_SECONDS, "beat", ends)
            continue
        done = database.serve(now, half)
        if begun:
            waited += done - now - half
            turns += 1
        if step == "claim":
            seconds = unit_seconds * draw.uniform(1 - SPREAD, 1 + SPREAD)
            starts = done + costs.latency / 2
            ends = starts + seconds
            computed += max(0.0, min(ends, 2 * SECONDS) - max(starts, SECONDS))
            if seconds > BEAT_SECONDS:
                later(starts + BEAT_SECONDS, "beat", ends)
            later(ends, "report", ends)
        else:
            finished += begun
            later(done + costs.latency / 2, "claim", 0.0)
    return Found(
        workers=workers,
        unit_seconds=unit_seconds,
        busy=round(computed / (workers * SECONDS), 4),
        units_per_s=round(finished / SECONDS, 2),
        waiting_ms=round(1e3 * waited / max(turns, 1), 2),
        database=round((database.worked - worked) / SECONDS, 4),
    )


def one_surface(workers: int, cells: int, cell_seconds: float, costs: Costs) -> dict[str, Any]:
    """How long one surface takes, cut into units of about ten seconds; idle workers wait."""
    tile = max(1, round(BEAT_SECONDS / cell_seconds))
    units = [min(tile, cells - start) for start in range(0, cells, tile)]
    draw = random.Random(SEED)  # noqa: S311 (no secret)
    database = Queue()
    half = (costs.cycle - costs.beat) / 2
    ready = [(0.0, n) for n in range(workers)]
    heapq.heapify(ready)
    end = 0.0
    reports: list[float] = []
    for count in units:
        now, worker = heapq.heappop(ready)
        while reports and reports[0] <= now:
            database.serve(heapq.heappop(reports), half)
        starts = database.serve(now, half) + costs.latency / 2
        ends = starts + count * cell_seconds * draw.uniform(1 - SPREAD, 1 + SPREAD)
        heapq.heappush(reports, ends)
        free = ends + half + costs.latency / 2
        end = max(end, free)
        heapq.heappush(ready, (free, worker))
    alone = cells * cell_seconds
    return {
        "workers": workers,
        "units": len(units),
        "seconds": round(end, 1),
        "times_one_worker": round(alone / end, 1),
    }


def simulate(measured: dict[str, Any]) -> dict[str, Any]:
    """Everything that the table shows."""
    many, one = Costs.of(measured, "ten jobs"), Costs.of(measured, "one job")
    fleets = [
        asdict(steady(workers, unit, many))
        for unit in (10.0, 30.0)
        for workers in (64, 1_000, 2_000, 4_000)
    ]
    return {
        "measured_on": measured["machine"],
        "costs_ms": {
            name: {k: round(1e3 * v, 3) for k, v in asdict(costs).items()}
            for name, costs in (("ten jobs", many), ("one job", one))
        },
        # a worker computes for all but the beats' share of a unit and claims and reports once
        "workers_that_saturate": {
            f"units of {unit:g} s": round(
                1 / ((many.cycle - many.beat) / unit + many.beat / BEAT_SECONDS)
            )
            for unit in (10.0, 30.0)
        },
        "overhead_of_a_unit_of_10_s": round((one.latency + one.cycle) / 10.0, 5),
        "fleets": fleets,
        "one_surface_of_51x51_cells_of_5_s": [
            one_surface(workers, 51 * 51, 5.0, one) for workers in (1, 2, 64, 1_000)
        ],
    }


def main() -> int:
    found = simulate(json.loads(MEASURED.read_text()))
    text = json.dumps(found, indent=2) + "\n"
    sys.stdout.write(text)
    if "--write" in sys.argv[1:]:
        RESULTS.write_text(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
