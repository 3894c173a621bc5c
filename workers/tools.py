"""What every step of a unit works with, and the one rule for outages.

Owns waiting through outages: while the unit is ours and nobody tells us to stop, a database or
store that is away is tried again, with growing pauses. Makes nothing: `workers.app` does.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from service.domain.problems import Problem
from service.ledger.session import Database
from service.store.objects import ObjectStore
from workers.assignment import Assignment
from workers.cache import ObjectCache
from workers.heart import Heart
from workers.runner import Asking, Runner
from workers.shutdown import ShutdownFlag

log = logging.getLogger(__name__)

T = TypeVar("T")

_FIRST_PAUSE_SECONDS: Final = 0.2
_LONGEST_PAUSE_SECONDS: Final = 5.0


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
        shutdown_seconds: how long a unit in hand may go on after the worker is told to stop.
        curvature_memory_bytes: budget of Hessian-vector products and Krylov bases.
        memory_bytes: what a child may hold in all; None for no limit of ours.
    """

    device: str
    threads: int
    tile_seconds: float
    unit_seconds: float
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

    def asking(self) -> Asking:
        """How to wait for the child."""

        def on_progress(cells: int) -> None:
            self.heart.cells_done = cells

        return Asking(self.tools.options.unit_seconds, self.check, on_progress)

    def persist(self, attempt: Callable[[], T], what: str) -> T:
        """`attempt`'s value, tried again while its server is away.

        Raises:
            LostUnit, Stopped: meanwhile the unit was lost, or the worker must stop.
            Problem: any that waiting does not cure.
        """
        pause = _FIRST_PAUSE_SECONDS
        while True:
            try:
                return attempt()
            except Problem as problem:
                if problem.code != "unavailable":
                    raise
                log.warning("%s: %s; trying again", what, problem.detail)
            self.check()
            self.heart.wait(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    def fetched(self, digest: str) -> Path:
        """An object, verified, as the job's child is to be told its path; there while it lives."""
        runner, job = self.tools.runner, self.assignment.job.id
        held = runner.resources(job).enter_context(self.tools.cache.holding())
        path = self.persist(lambda: held.path(digest), f"fetching {digest}")
        return runner.give(job, path)

    def store_bytes(self, data: bytes, content_type: str) -> str:
        """Stores an object and keeps it at hand; its digest."""
        digest = self.persist(
            lambda: self.tools.store.put_bytes(data, content_type=content_type), "storing"
        )
        self.tools.cache.put(digest, data)
        return digest
