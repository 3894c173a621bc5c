"""States of models, jobs and units, and the only ways from one to another.

The tables are data. The ledger refuses a change that is not in them, and a test walks every
pair against the database.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class ModelState(StrEnum):
    """`checked`: structure read without torch. `ready`: bound and probed. `refused`: neither."""

    CHECKED = "checked"
    READY = "ready"
    REFUSED = "refused"


class JobState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class UnitState(StrEnum):
    """`blocked` waits for other units or for its model; `leased` is in a worker's hands."""

    BLOCKED = "blocked"
    READY = "ready"
    LEASED = "leased"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


MODEL_TRANSITIONS: Final[Mapping[ModelState, frozenset[ModelState]]] = {
    ModelState.CHECKED: frozenset({ModelState.READY, ModelState.REFUSED}),
    ModelState.READY: frozenset(),
    ModelState.REFUSED: frozenset(),
}

JOB_TRANSITIONS: Final[Mapping[JobState, frozenset[JobState]]] = {
    JobState.QUEUED: frozenset({JobState.RUNNING, JobState.FAILED, JobState.CANCELLED}),
    JobState.RUNNING: frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED}),
    JobState.SUCCEEDED: frozenset(),
    # a retry puts an unsuccessful job back in the queue; its finished tiles stay done
    JobState.FAILED: frozenset({JobState.QUEUED}),
    JobState.CANCELLED: frozenset({JobState.QUEUED}),
}

UNIT_TRANSITIONS: Final[Mapping[UnitState, frozenset[UnitState]]] = {
    UnitState.BLOCKED: frozenset({UnitState.READY, UnitState.CANCELLED, UnitState.FAILED}),
    UnitState.READY: frozenset({UnitState.LEASED, UnitState.CANCELLED, UnitState.FAILED}),
    UnitState.LEASED: frozenset(
        {UnitState.DONE, UnitState.READY, UnitState.FAILED, UnitState.CANCELLED}
    ),
    UnitState.DONE: frozenset(),
    UnitState.FAILED: frozenset({UnitState.READY, UnitState.BLOCKED}),
    UnitState.CANCELLED: frozenset({UnitState.READY, UnitState.BLOCKED}),
}

FINISHED_JOB: Final = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED})
