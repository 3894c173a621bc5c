"""A job in the service's hands: follow it, stop it, try it again."""

from __future__ import annotations

import sys
import time
from typing import Any, Final, Generic, TypeVar

from lossatlas.display import card, in_notebook
from lossatlas.errors import JobCancelled, LossatlasError, ProblemError, WaitTimeout, job_failed
from lossatlas.grids import Grid
from lossatlas.landscapes import Landscape
from lossatlas.progress import following
from lossatlas.steps import Call, Steps, call, fetch, post
from lossatlas.values import JobState, LandscapeRecord

T = TypeVar("T")
L = TypeVar("L")

#: How long an answer is held; it comes at once when the state changes. A bar wants to move, so a
#: watched job is asked more often.
_HOLD_SECONDS: Final = 30.0
_LOGGED_SECONDS: Final = 10.0
_WATCHED_SECONDS: Final = 1.0
#: A picture of what there is so far is asked for so often, in a notebook.
_PICTURE_SECONDS: Final = 2.0
#: An outage in the middle of a wait is waited out for so long: the job itself goes on.
_OUTAGE_SECONDS: Final = 120.0


class JobBase(Generic[L]):
    """A job's state, and what can be done with it as steps. Nothing here does I/O."""

    def __init__(self, transport: Any, state: JobState) -> None:
        self._transport = transport
        self.info = state

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} {self.info.kind} {self.state}>"

    def _repr_html_(self) -> str:
        progress = self.info.progress
        rows = {
            "project": self.info.project,
            "model": self.info.model,
            "state": words_of(self.info),
            "done": None if progress.total is None else f"{progress.done}/{progress.total}",
            "landscape": self.info.landscape,
            "error": (self.info.error or {}).get("detail"),
            "created": self.info.created_at,
        }
        return card(f"{self.info.kind} {self.id}", rows)

    @property
    def id(self) -> str:
        """`job_…`"""
        return self.info.id

    @property
    def state(self) -> str:
        """queued, running, succeeded, failed or cancelled."""
        return self.info.state

    def waiting(self, timeout: float | None, *, progress: bool) -> Steps[L]:
        """Follows the job to its end, then as `finishing`."""
        deadline = None if timeout is None else time.monotonic() + timeout
        drawn, next_picture = progress and in_notebook(), 0.0
        with following(self.id, unit=self.info.progress.unit, shown=progress) as report:
            while not self.info.finished:
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    raise WaitTimeout(
                        self.id, f"{self.id} is still {self.state} after {timeout:g} s; it goes on"
                    )
                hold = _hold_seconds(progress)
                outage = _OUTAGE_SECONDS
                if left is not None:
                    hold, outage = min(hold, left), min(outage, left)
                now = yield from self.asking(hold, outage)
                picture = None
                if drawn and now.state == "running" and time.monotonic() >= next_picture:
                    picture = yield from self.drawing()
                    next_picture = time.monotonic() + _PICTURE_SECONDS
                report(now.progress.done, now.progress.total, words_of(now), picture)
        return (yield from self.finishing())

    def finishing(self) -> Steps[L]:
        """The landscape of a finished job."""
        if self.info.state == "failed":
            raise job_failed(self.id, self.info.error or {})
        if self.info.state == "cancelled":
            raise JobCancelled(self.id)
        if self.info.landscape is None:
            raise WaitTimeout(self.id, f"{self.id} is {self.state}; it has no result yet")
        body = yield from fetch(f"/v1/landscapes/{self.info.landscape}")
        return (yield from self.made(LandscapeRecord.model_validate(body)))

    def made(self, record: LandscapeRecord) -> Steps[L]:
        """A landscape of the caller's kind."""
        raise NotImplementedError

    def asking(self, hold: float = 0.0, outage: float | None = None) -> Steps[JobState]:
        """Asks for the state, held until it changes."""
        request = Call(
            "GET",
            f"/v1/jobs/{self.id}",
            query={"wait": hold or None},
            hold_seconds=hold,
            retry_seconds=outage,
        )
        return self._told((yield from call(request)).json())

    def telling(self, what: str) -> Steps[JobState]:
        """Cancels or retries."""
        return self._told((yield from post(f"/v1/jobs/{self.id}/{what}")))

    def seeing(self) -> Steps[Grid | None]:
        """The grid so far."""
        request = Call("GET", f"/v1/jobs/{self.id}/partial.json", retry_seconds=0)
        try:
            answer = yield from call(request)
        except ProblemError as problem:
            if problem.code == "conflict" and problem.retryable:
                return None
            raise
        return Grid.from_json(answer.json())

    def drawing(self) -> Steps[bytes | None]:
        """The picture so far, as PNG; None where there is none yet, or none of this kind."""
        request = Call("GET", f"/v1/jobs/{self.id}/partial.png", retry_seconds=0)
        try:
            return (yield from call(request)).content
        except LossatlasError:
            return None

    def _run(self, steps: Steps[T]) -> T:
        done: T = self._transport.run(steps)
        return done

    def _told(self, body: object) -> JobState:
        self.info = JobState.model_validate(body)
        return self.info


class Job(JobBase[Landscape]):
    """A job. `state` is what the service said last; `refresh` asks again."""

    def refresh(self) -> JobState:
        """Asks for the present state."""
        return self._run(self.asking())

    def wait(self, timeout: float | None = None, *, progress: bool = True) -> Landscape:
        """Waits until the job is finished and returns its landscape.

        Args:
            timeout: seconds; None waits as long as it takes.
            progress: a bar on a terminal or in a notebook, lines in a log (stderr).

        Raises:
            JobFailed: with the job's problem.
            JobCancelled: somebody cancelled it.
            WaitTimeout: not finished in time. The job goes on; wait again to resume.
            ServiceUnreachable: no answer for two minutes. The job goes on here too.
        """
        return self._run(self.waiting(timeout, progress=progress))

    def result(self) -> Landscape:
        """The landscape of a finished job. Raises as `wait`, and WaitTimeout while it runs."""
        return self._run(self.finishing())

    def cancel(self) -> JobState:
        """Cancels it, within seconds. Raises ConflictError when it has finished already."""
        return self._run(self.telling("cancel"))

    def retry(self) -> JobState:
        """Queues a failed or cancelled job again; finished parts are kept.

        Raises:
            ConflictError: it is neither failed nor cancelled.
        """
        return self._run(self.telling("retry"))

    def partial(self) -> Grid | None:
        """The grid so far, cells to come `pending`; None before the job is planned."""
        return self._run(self.seeing())

    def made(self, record: LandscapeRecord) -> Steps[Landscape]:
        """See JobBase."""
        yield from ()
        return Landscape(self._transport, record)


def _hold_seconds(progress: bool) -> float:
    if not progress:
        return _HOLD_SECONDS
    watched = sys.stderr.isatty() or in_notebook()
    return _WATCHED_SECONDS if watched else _LOGGED_SECONDS


def words_of(job: JobState) -> str:
    """A job's state in a few words, with the time left where it is known."""
    if job.state != "running":
        return job.state
    words = {"prepare": "preparing", "tile": "computing", "finalise": "finishing"}
    phase = words.get(job.progress.phase, job.progress.phase)
    eta = job.progress.eta_seconds
    return phase if eta is None else f"{phase}, about {seconds_in_words(eta)} left"


def seconds_in_words(seconds: float) -> str:
    """`45 s`, `3 min`, `2 h 10 min`."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
