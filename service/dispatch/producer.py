"""Sends hints to the broker, and finds out quickly when it cannot.

Owns the connection to the broker on the service's side. Never waits long, keeps nothing: what
could not be sent stays in the outbox.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Mapping
from typing import Any, Final

from celery import Celery
from kombu.exceptions import OperationalError

from service.dispatch.broker import TASK, broker_options
from service.settings import Settings

#: A hint older than this says nothing that newer ones do not.
_EXPIRES_SECONDS: Final = 600


#: A broker that takes longer to accept a hint is away.
_ANSWER_SECONDS: Final = 3.0


class BrokerAway(Exception):
    """The broker did not take a hint."""


class Producer:
    """One connection, made when first needed and again after it broke. Not for several threads."""

    def __init__(self, settings: Settings) -> None:
        self._app = Celery("lossatlas-relay", broker=settings.broker_url, set_as_current=False)
        self._app.conf.update(**broker_options(settings, answer_seconds=_ANSWER_SECONDS))
        self._connection: Any = None

    def connect(self) -> None:
        """Makes sure that there is a connection. Raises BrokerAway, within seconds."""
        if self._connection is not None:
            return
        connection = self._app.connection_for_write()
        try:
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=5)
        except (OperationalError, *connection.connection_errors, OSError) as error:
            connection.release()
            raise BrokerAway(_words(error)) from error
        self._connection = connection

    def send(self, hint: Mapping[str, Any], queue: str) -> None:
        """Sends one hint.

        Raises:
            BrokerAway: it was not taken; the next call connects anew.
        """
        self.connect()
        connection = self._connection
        try:
            with self._app.amqp.Producer(connection) as producer:
                self._app.send_task(
                    TASK,
                    args=[dict(hint)],
                    queue=queue,
                    task_id=str(uuid.uuid4()),
                    producer=producer,
                    expires=_EXPIRES_SECONDS,
                    ignore_result=True,
                    retry=False,
                )
        except (
            OperationalError,
            *connection.connection_errors,
            *connection.channel_errors,
            OSError,
        ) as error:
            self.close()
            raise BrokerAway(_words(error)) from error

    def close(self) -> None:
        """Drops the connection, working or not."""
        connection, self._connection = self._connection, None
        if connection is not None:
            # it may be broken in any way
            with contextlib.suppress(Exception):
                connection.release()


def _words(error: BaseException) -> str:
    return str(error) or type(error).__name__
