"""What every step of a unit works with, and the one rule for outages.

Owns waiting through outages: while the unit is ours and nobody tells us to stop, a database or
store that is away is tried again, with growing pauses. Makes nothing: `workers.app` does.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from service.domain.problems import Problem
from service.domain.units import UnitKind
from service.ledger.session import Database
from service.store.objects import ObjectStore
from service.store.verifying import corrupt
from workers.assignment import Assignment
from workers.cache import Held, ObjectCache
from workers.fitness import Fitness, WorkerFault
from workers.heart import Heart
from workers.runner import Asking, Runner
from workers.shutdown import ShutdownFlag

log = logging.getLogger(__name__)

T = TypeVar("T")

_FIRST_PAUSE_SECONDS: Final = 0.2
_LONGEST_PAUSE_SECONDS: Final = 5.0
#: An outage that lasts longer is the worker's to wait out, without a unit in its hands.
_OUTAGE_SECONDS: Final = 600.0
#: An object that so many reads in a row did not get, over some six seconds, is asked about.
_READS: Final = 6
#: And so is one that several reads did not get in so long: some servers try for half a minute each.
_READ_SECONDS: Final = 20.0
#: A tile may take so many times what its cells took when it was planned…
_SLOWER: Final = 30.0
#: … and at least this, since a machine may be busy and a child must warm up.
_LEAST_TILE_SECONDS: Final = 120.0


class Stopped(Exception):
    """The worker was told to stop and its grace is over: let go of the unit."""


@dataclass(frozen=True)
class Options:
    """The worker's own settings, plain values.

    Attributes:
        device: "auto", "cpu", "cuda" or "cuda:<n>".
        threads: of a child; written into the plan, so that other workers use as many.
        tile_seconds: how much work a unit should be.
        unit_seconds: time limit of one unit.
        ingest_seconds: that of one which binds and probes a model.
        program_memory_bytes: what a program's values may take at once.
        shutdown_seconds: how long a unit in hand may go on after the worker is told to stop.
        curvature_memory_bytes: budget of Hessian-vector products and Krylov bases.
        memory_bytes: what a child may hold in all; None for no limit of ours.
    """

    device: str
    threads: int
    tile_seconds: float
    unit_seconds: float
    ingest_seconds: float
    program_memory_bytes: int
    lease_seconds: int
    beat_seconds: float
    shutdown_seconds: float
    curvature_memory_bytes: int
    memory_bytes: int | None = None


@dataclass(frozen=True)
class Tools:
    """The edges and the child of one worker process."""

    database: Database
    store: ObjectStore
    cache: ObjectCache
    runner: Runner
    shutdown: ShutdownFlag
    fitness: Fitness
    options: Options
    worker: str


@dataclass(frozen=True)
class InHand:
    """A unit being carried out: what it is, and the heart that keeps it ours."""

    tools: Tools
    assignment: Assignment
    heart: Heart

    def check(self) -> None:
        """Raises LostUnit or Stopped when there is no point in going on."""
        self.heart.check()
        if self.tools.shutdown.past(self.tools.options.shutdown_seconds):
            raise Stopped("told to stop")

    @property
    def seconds(self) -> float:
        """How long a request of this unit may take: a hung child must not hold the worker for the
        hour that the longest unit may take, when this one should take seconds."""
        options, unit = self.tools.options, self.assignment.unit
        if unit.kind is UnitKind.INGEST:
            return min(options.ingest_seconds, options.unit_seconds)
        if unit.kind is not UnitKind.TILE:
            return options.unit_seconds
        cells = (unit.stop or 0) - (unit.start or 0)
        expected = cells * self.assignment.plan.cell_seconds
        return min(options.unit_seconds, max(_LEAST_TILE_SECONDS, _SLOWER * expected))

    def asking(self) -> Asking:
        """How to wait for the child."""

        def on_progress(cells: int) -> None:
            self.heart.cells_done = cells

        return Asking(self.seconds, self.check, on_progress)

    def persist(self, attempt: Callable[[], T], what: str) -> T:
        """`attempt`'s value, tried again while its server is away.

        Raises:
            LostUnit, Stopped: meanwhile the unit was lost, or the worker must stop.
            WorkerFault: the server stayed away for too long.
            Problem: any that waiting does not cure.
        """
        pause, since = _FIRST_PAUSE_SECONDS, time.monotonic()
        while True:
            try:
                return attempt()
            except Problem as problem:
                if problem.code != "unavailable":
                    raise
                if time.monotonic() - since > _OUTAGE_SECONDS:
                    raise WorkerFault(f"{what}: {problem.detail}") from problem
                log.warning("%s: %s; trying again", what, problem.detail)
            self.check()
            self.heart.wait(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    def fetched(self, digest: str) -> Path:
        """An object, verified, as the job's child is to be told its path; there while it lives."""
        runner, job = self.tools.runner, self.assignment.job.id
        held = runner.resources(job).enter_context(self.tools.cache.holding())
        return runner.give(job, self.read(held, digest))

    def read(self, held: Held, digest: str) -> Path:
        """An object's path, verified, kept in the cache until `held` is closed.

        Raises:
            Problem: `object_corrupt` when it is missing, another, or cannot be read while other
                objects can.
            LostUnit, Stopped, WorkerFault: as `persist`.
        """
        failures, began = 0, time.monotonic()

        def attempt() -> Path:
            nonlocal failures
            try:
                return held.path(digest)
            except Problem as problem:
                if problem.code != "unavailable":
                    raise
                failures += 1
                tried = failures >= _READS or (
                    failures > 1 and time.monotonic() - began > _READ_SECONDS
                )
                if tried and self.tools.store.serves_others(digest):
                    raise corrupt(
                        digest,
                        f"the store failed {failures} times to read it, and reads other objects "
                        f"meanwhile; the last time: {problem.detail}",
                    ) from problem
                raise

        return self.persist(attempt, f"fetching {digest}")

    def store_bytes(self, data: bytes, content_type: str) -> str:
        """Stores an object and keeps it at hand; its digest."""
        digest = self.persist(
            lambda: self.tools.store.put_bytes(data, content_type=content_type), "storing"
        )
        try:
            self.tools.cache.put(digest, data)
        except OSError as error:
            # it is stored; the cache only saves a way
            log.warning("%s is not kept at hand: %s", digest, error)
        return digest
