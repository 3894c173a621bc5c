"""The heart of a unit in hand: keeps its lease alive and hears when the unit is ours no longer.

Owns one thread per unit. It beats through everything the supervisor does for the unit — fetching,
computing, storing — so a slow upload or a kernel of five minutes does not look dead. When the
database cannot be reached it keeps trying: the work goes on, and the report is fenced anyway.
"""

from __future__ import annotations

import logging
import threading
from types import TracebackType
from typing import Self

from service.domain.problems import Problem
from service.ledger import units
from service.ledger.session import Database

log = logging.getLogger(__name__)


class Yielded(Exception):
    """The unit is still ours, and is to be given back: another project waits for a worker."""


class LostUnit(Exception):
    """The unit is not ours any more: `cancelled`, or `stale` because another attempt runs."""


class Heart:
    """Beats while in its `with` block. `cells_done` is read at every beat."""

    def __init__(
        self,
        database: Database,
        *,
        unit: str,
        attempt: int,
        lease_seconds: int,
        every_seconds: float,
    ) -> None:
        self._database = database
        self._unit = unit
        self._attempt = attempt
        self._lease_seconds = lease_seconds
        self._every_seconds = every_seconds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat_on, name=f"heart {unit}", daemon=True)
        self.cells_done = 0
        self.lost: str | None = None
        self.wanted = False

    def check(self) -> None:
        """Raises LostUnit once a beat was refused, Yielded once one asked for the unit."""
        if self.lost is not None:
            raise LostUnit(self.lost)
        if self.wanted:
            raise Yielded("another project waits")

    def wait(self, seconds: float) -> None:
        """Waits, but no longer than until the unit is lost; raises LostUnit then."""
        self._stop.wait(seconds)
        self.check()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join(timeout=5.0)

    def _beat_on(self) -> None:
        while not self._stop.wait(self._every_seconds):
            try:
                with self._database.transaction() as session:
                    verdict = units.beat(
                        session,
                        self._unit,
                        self._attempt,
                        cells_done=self.cells_done,
                        lease_seconds=self._lease_seconds,
                    )
            except Problem as problem:
                log.warning("no beat for %s: %s", self._unit, problem.detail)
                continue
            if verdict == "yield":
                # it stays ours, beats and all, until it is released
                self.wanted = True
            elif verdict != "ok":
                self.lost = verdict
                self._stop.set()
                return
