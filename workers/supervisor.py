"""The supervisor: claims units until there are none, and sees each to its end, whatever happens.

Owns the loop and what every kind of end is reported as. A unit ends in exactly one of: reported
done by its step; failed for good; failed for now (counted, tried again); released (the worker is
told to stop, another project waits for one, or something is wrong with the worker itself, which is
never the unit's to pay); or lost (cancelled, or another attempt runs), which is nothing to report.
Never imports torch.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

from service.domain.definitions import DEFINITIONS
from service.domain.problems import Problem
from service.domain.units import UnitKind
from service.ledger import objects, units
from service.ledger.units import StaleAttempt
from workers.assignment import Assignment
from workers.childprocess import ChildDied
from workers.fitness import WorkerFault
from workers.heart import Heart, LostUnit, Yielded
from workers.runner import NeverReady, TimedOut, UnitFailed
from workers.steps import finalise, ingest, prepare, tile
from workers.tools import InHand, Stopped, Tools

log = logging.getLogger(__name__)

_STEPS: Final[Mapping[UnitKind, Callable[[InHand], None]]] = {
    UnitKind.INGEST: ingest.carry_out,
    UnitKind.PREPARE: prepare.carry_out,
    UnitKind.TILE: tile.carry_out,
    UnitKind.FINALISE: finalise.carry_out,
}

#: What ends a unit here that is not the unit's doing.
_LOST: Final = (LostUnit, StaleAttempt)
_GIVEN_BACK: Final = (Stopped, Yielded)
_OWN_FAULTS: Final = (WorkerFault, NeverReady, OSError, MemoryError)
#: A job whose plan is damaged this often fails: the store does not keep what it accepts.
_MOST_MENDINGS: Final = 3
#: A job that is done this quickly is followed by the next one sooner than a child warms up, so
#: its successor is started while it computes. Longer jobs keep the machine to themselves.
_SHORT_JOB_SECONDS: Final = 2.0


class Supervisor:
    """One worker process's loop. Use it from the main thread."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    def warm(self) -> None:
        """Starts a child for the job to come."""
        self._tools.runner.warm()

    def _warm_or_doubt(self) -> None:
        try:
            self._tools.runner.warm()
        except OSError as error:
            log.error("a child process cannot start: %s", error)
            self._tools.fitness.doubt()

    def close(self) -> None:
        """Kills the children."""
        self._tools.runner.close()

    def drain(self, job: str | None) -> int:
        """Carries out units, of `job` first, until nothing can be claimed; how many it did.

        An outage of the database ends it: the unclaimed are hinted again.
        """
        done = 0
        try:
            while self._tools.fitness.await_fit(self._tools.shutdown):
                assignment = self._claim(job)
                if assignment is None:
                    break
                job = assignment.job.id
                self._carry_out(assignment)
                done += 1
        except Problem as problem:
            if problem.code != "unavailable":
                raise
            log.warning("stopped claiming: %s", problem.detail)
        finally:
            self._tools.runner.retire()
            if not self._tools.shutdown.is_set():
                self._warm_or_doubt()
        return done

    def _claim(self, job: str | None) -> Assignment | None:
        tools = self._tools
        with tools.database.transaction() as session:
            claimed = units.claim(
                session,
                worker=tools.worker,
                lease_seconds=tools.options.lease_seconds,
                prefer_job=job,
            )
            return None if claimed is None else Assignment(claimed)

    def _carry_out(self, assignment: Assignment) -> None:
        tools, unit = self._tools, assignment.unit
        log.info("%s %s of %s, attempt %d", unit.kind, unit.id, assignment.job.id, unit.attempt)
        heart = Heart(
            tools.database,
            unit=unit.id,
            attempt=unit.attempt,
            lease_seconds=tools.options.lease_seconds,
            every_seconds=tools.options.beat_seconds,
        )
        with heart:
            hand = InHand(tools, assignment, heart)
            try:
                self._attempt(hand)
            except _OWN_FAULTS as fault:
                self._blame_self(hand, fault)
            except _LOST as lost:
                log.info("%s is not ours any more: %s", unit.id, lost)
                tools.runner.retire()
            except _GIVEN_BACK:
                tools.runner.retire()
                self._release(hand)

    def _attempt(self, hand: InHand) -> None:
        """The step, and the report of any failure."""
        try:
            self._arrange_children(hand.assignment)
            if _is_planned_otherwise(hand.assignment):
                self._plan_anew(hand)
            else:
                _STEPS[hand.assignment.kind](hand)
        except UnitFailed as failure:
            if failure.broken:
                self._require_fit()
            self._fail(hand, failure.problem, retry=failure.retry)
        except ChildDied as death:
            code = "out_of_memory" if death.for_want_of_memory else "poison"
            self._fail(hand, Problem(code, _sentence(death)).to_json(), retry=True)
        except TimedOut:
            # once more, elsewhere: a child can hang for reasons of its machine
            again = hand.assignment.unit.deaths == 0 and hand.assignment.kind is not UnitKind.INGEST
            self._fail(hand, _too_slow(hand).to_json(), retry=again)
        except Problem as problem:
            if not self._mended(hand, problem):
                self._fail(hand, problem.to_json(), retry=problem.kind.retryable)
        except (*_LOST, *_GIVEN_BACK, *_OWN_FAULTS):
            raise
        except Exception as error:
            log.exception("a fault of ours in %s", hand.assignment.unit.id)
            detail = f"the worker met an unexpected {type(error).__name__}"
            self._fail(hand, Problem("internal_error", detail).to_json(), retry=True)

    def _fail(self, hand: InHand, problem: dict[str, Any], *, retry: bool) -> None:
        unit = hand.assignment.unit
        log.warning("%s failed (retry: %s): %s", unit.id, retry, problem.get("detail"))

        def report() -> None:
            with hand.tools.database.transaction() as session:
                units.report_failed(session, unit.id, unit.attempt, problem, retry=retry)

        hand.persist(report, "reporting a failure")

    def _mended(self, hand: InHand, problem: Problem) -> bool:
        """Notes a damaged object. What the job made itself, it makes again: returns True then."""
        digest, assignment = problem.extra.get("object"), hand.assignment
        if problem.code != "object_corrupt" or not isinstance(digest, str):
            return False

        def note() -> int:
            with hand.tools.database.transaction() as session:
                objects.mark_damaged(session, digest, problem.detail)
                return units.replanned_for_damage(session, assignment.job.id)

        times = hand.persist(note, "noting a damaged object")
        if assignment.kind not in (UnitKind.TILE, UnitKind.FINALISE):
            return False
        if digest not in assignment.plan.objects() or times >= _MOST_MENDINGS:
            return False
        self._plan_anew(hand, damaged=digest)
        return True

    def _plan_anew(self, hand: InHand, *, damaged: str | None = None) -> None:
        """Values under two definitions are never laid into one grid."""
        unit = hand.assignment.unit
        why = "under other definitions" if damaged is None else f"with {damaged}, now damaged"
        log.info("%s was planned %s; planning anew", hand.assignment.job.id, why)
        hand.tools.runner.retire()

        def report() -> None:
            with hand.tools.database.transaction() as session:
                units.report_replanned(
                    session, unit.id, unit.attempt, definitions=DEFINITIONS, damaged=damaged
                )

        hand.persist(report, "planning a job anew")

    def _require_fit(self) -> None:
        """Raises WorkerFault when a fresh child, on the same device, does not even start."""
        self._tools.fitness.doubt()
        if (fault := self._tools.fitness.fault()) is not None:
            raise WorkerFault(fault)

    def _blame_self(self, hand: InHand, fault: Exception) -> None:
        """The unit goes to another worker, uncounted, and this one looks at itself."""
        tools, unit = hand.tools, hand.assignment.unit
        log.error("a fault of this worker's, %s is given back: %r", unit.id, fault)
        # the job's owner learns what it was, not where this machine keeps things
        said = (fault.strerror if isinstance(fault, OSError) else None) or type(fault).__name__
        tools.fitness.doubt()
        tools.runner.retire()
        self._release(hand, fault=said)

    def _release(self, hand: InHand, *, fault: str | None = None) -> None:
        """Gives the unit back, if the database can be told; else its lease runs out."""
        unit = hand.assignment.unit
        try:
            with hand.tools.database.transaction() as session:
                units.release(session, unit.id, unit.attempt, fault=fault)
        except (Problem, StaleAttempt) as error:
            log.warning("%s could not be released: %s", unit.id, error)
        else:
            log.info("released %s", unit.id)

    def _arrange_children(self, assignment: Assignment) -> None:
        """Lets a child go as soon as its job needs it no more, and warms the next in time."""
        runner = self._tools.runner
        if assignment.kind is UnitKind.FINALISE:
            # adaptive sampling may want more of the same child
            if assignment.plan.sampling is None:
                runner.retire()
            runner.warm()
        elif assignment.kind is UnitKind.TILE:
            plan = assignment.plan
            if plan.steps * plan.cell_seconds <= _SHORT_JOB_SECONDS:
                runner.warm()


def _is_planned_otherwise(assignment: Assignment) -> bool:
    return (
        assignment.kind in (UnitKind.TILE, UnitKind.FINALISE)
        and assignment.plan.definitions != DEFINITIONS
    )


def _too_slow(hand: InHand) -> Problem:
    if hand.assignment.kind is UnitKind.INGEST:
        return Problem(
            "time_limit",
            f"binding the model and running three samples through it took longer than "
            f"{hand.seconds:g} seconds; make it smaller, or have LOSSATLAS_INGEST_SECONDS raised",
        )
    return Problem("time_limit", f"the unit took longer than its limit of {hand.seconds:g} seconds")


def _sentence(error: Exception) -> str:
    text = str(error)
    return text[:1].upper() + text[1:]
