"""The relay: carries hints from the outbox to the broker.

Owns the loop of `lossatlas-server relay`. It wakes when the ledger notifies and once a second
besides; each round sends what is due. Beside it, in threads and on connections of their own, run
the reaper and the sweep of uploads that nobody completes, so that no server's silence keeps another
waiting. All of it is safe to do twice and by several relays at once: hints may double, and rows are
taken with SKIP LOCKED. Database or broker away: it tries again, and nothing is lost meanwhile.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from dataclasses import dataclass, field
from types import FrameType
from typing import Final

from service.dispatch import reaper
from service.dispatch.producer import BrokerAway, Producer
from service.dispatch.sweeping import Sweep
from service.domain.problems import Problem
from service.ledger import outbox
from service.ledger.session import Database
from service.settings import Settings
from service.store.objects import ObjectStore

log = logging.getLogger(__name__)

_POLL_SECONDS: Final = 1.0
_BATCH: Final = 200
_LONGEST_PAUSE_SECONDS: Final = 5.0


def run(settings: Settings) -> None:
    """Runs until SIGTERM or SIGINT; then finishes the round in hand and returns."""
    stop = threading.Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    previous = {s: signal.signal(s, on_signal) for s in (signal.SIGTERM, signal.SIGINT)}
    reaping = threading.Thread(target=reaper.run, args=(settings, stop), name="reaper", daemon=True)
    sweeping = threading.Thread(target=_sweep, args=(settings, stop), name="sweep", daemon=True)
    try:
        reaping.start()
        sweeping.start()
        Relay(settings).run(stop)
    finally:
        stop.set()
        reaping.join(timeout=_LONGEST_PAUSE_SECONDS)
        for number, handler in previous.items():
            signal.signal(number, handler)


def _sweep(settings: Settings, stop: threading.Event) -> None:
    try:
        store = ObjectStore.from_settings(settings)
    except ValueError as error:
        log.warning("unfinished uploads are not swept: %s", error)
        return
    database = Database(settings.database_url, application_name="lossatlas-sweep", pool_size=1)
    try:
        Sweep(database, store, upload_seconds=settings.upload_seconds).run(
            stop, settings.sweep_seconds
        )
    finally:
        database.dispose()


@dataclass
class _Pause:
    """Growing pauses after failures, none after a success."""

    until: float = 0.0
    seconds: float = field(default=0.25)

    def over(self) -> bool:
        return time.monotonic() >= self.until

    def failed(self) -> None:
        self.until = time.monotonic() + self.seconds
        self.seconds = min(2 * self.seconds, _LONGEST_PAUSE_SECONDS)

    def succeeded(self) -> None:
        self.until, self.seconds = 0.0, 0.25


class Relay:
    """One relay process's state: its connections and when it looks next."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._database = Database(settings.database_url, application_name="lossatlas-relay")
        self._producer = Producer(settings)
        self._broker_pause = _Pause()

    def run(self, stop: threading.Event) -> None:
        """Rounds until `stop` is set; survives outages of the database and the broker."""
        pause = _Pause()
        try:
            while not stop.is_set():
                try:
                    with self._database.listen([outbox.HINT_CHANNEL]) as listening:
                        log.info("relay is listening")
                        while not stop.is_set():
                            self.round()
                            pause.succeeded()
                            listening.wait(_POLL_SECONDS)
                except Problem as problem:
                    if problem.code != "unavailable":
                        raise
                    log.warning("the database is away: %s", problem.detail)
                    pause.failed()
                    stop.wait(pause.seconds)
        finally:
            self._producer.close()
            self._database.dispose()

    def round(self) -> None:
        """Sends everything due. Raises Problem `unavailable`."""
        if self._broker_pause.over():
            try:
                # before any row is marked: a broker that is away takes seconds to say so
                self._producer.connect()
                while self._send_batch() == _BATCH:
                    pass
            except BrokerAway as error:
                log.warning("the broker is away, hints wait: %s", error)
                self._broker_pause.failed()
            else:
                self._broker_pause.succeeded()

    def _send_batch(self) -> int:
        """Sends due hints; how many.

        They are marked first, and no transaction is open while the broker is waited for: a relay
        that dies in between has lost hints that are sent again when their time is up.
        """
        with self._database.transaction() as session:
            due = outbox.take_due(
                session, _BATCH, resend_after_seconds=self._settings.hint_resend_seconds
            )
            outbox.mark_sent(session, [message.id for message in due])
        for k, message in enumerate(due):
            try:
                self._producer.send(message.payload, "cpu")
            except BrokerAway:
                with self._database.transaction() as session:
                    outbox.mark_unsent(session, [left.id for left in due[k:]])
                raise
        return len(due)
