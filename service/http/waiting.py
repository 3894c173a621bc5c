"""Waking those who wait for a job: one thread listens to the ledger, many coroutines wait.

Owns the thread and the subscriptions. What changed is read by the woken ones: a wake-up may come
for nothing, and after an outage of the database everybody is woken, since what was notified
meanwhile was not heard.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from service.domain.problems import Problem
from service.ledger.events import JOB_CHANNEL
from service.ledger.session import Database

log = logging.getLogger(__name__)

#: How long a stop may take: the listener looks this often whether it should go on.
_LOOK_SECONDS: Final = 0.5
_LONGEST_PAUSE_SECONDS: Final = 5.0


class Subscription:
    """One waiting coroutine. Made by `Changes.subscribe`, used in the event loop that made it."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._woken = asyncio.Event()

    async def wait(self, seconds: float) -> bool:
        """Whether something happened to the job since the last call, at most so long later."""
        try:
            await asyncio.wait_for(self._woken.wait(), max(seconds, 0.0))
        except TimeoutError:
            return False
        self._woken.clear()
        return True

    def wake(self) -> None:
        """From any thread."""
        try:
            self._loop.call_soon_threadsafe(self._woken.set)
        except RuntimeError:
            # the loop is closed, and so nobody waits in it
            log.debug("a subscription outlived its event loop")


class Changes:
    """Job changes, as the ledger notifies them."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._waiting: dict[str, set[Subscription]] = {}
        self._stop = threading.Event()
        self._listening = threading.Event()
        self._thread: threading.Thread | None = None
        self._closing = False

    @property
    def closing(self) -> bool:
        """Whether the process is going down: nobody should wait any longer."""
        return self._closing

    def start(self) -> None:
        """Begins to listen. Does not wait for the database, which may be away."""
        if self._thread is not None:
            raise RuntimeError("already started")
        self._stop.clear()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="job-changes", daemon=True)
        self._thread.start()

    def release(self) -> None:
        """Lets everybody go who waits, now and from now on: the process is going down."""
        self._closing = True
        self._wake_all()

    def stop(self) -> None:
        """Ends the thread. Safe to repeat."""
        self.release()
        self._stop.set()
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join()

    def wait_until_listening(self, seconds: float) -> bool:
        """Whether the listener is connected, at most so long later."""
        return self._listening.wait(seconds)

    @contextmanager
    def subscribe(self, job_id: str) -> Iterator[Subscription]:
        """Hears of everything that happens to a job from now on. Read its state afterwards."""
        subscription = Subscription()
        with self._lock:
            self._waiting.setdefault(job_id, set()).add(subscription)
        try:
            if self._closing:
                subscription.wake()
            yield subscription
        finally:
            with self._lock:
                others = self._waiting[job_id]
                others.discard(subscription)
                if not others:
                    del self._waiting[job_id]

    def _run(self) -> None:
        pause = 0.1
        while not self._stop.is_set():
            try:
                with self._database.listen([JOB_CHANNEL]) as listener:
                    self._listening.set()
                    pause = 0.1
                    self._wake_all()
                    while not self._stop.is_set():
                        for job_id in {job for _, job in listener.wait(_LOOK_SECONDS)}:
                            self._wake(job_id)
            except Problem as problem:
                log.warning("no news of jobs for now: %s", problem.detail)
            except Exception:
                # whatever it was, those who wait poll meanwhile, and the next try may work
                log.exception("listening for jobs failed")
            finally:
                self._listening.clear()
            self._stop.wait(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    def _wake(self, job_id: str) -> None:
        with self._lock:
            waiting = list(self._waiting.get(job_id, ()))
        for subscription in waiting:
            subscription.wake()

    def _wake_all(self) -> None:
        with self._lock:
            waiting = [one for several in self._waiting.values() for one in several]
        for subscription in waiting:
            subscription.wake()
