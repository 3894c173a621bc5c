"""A training run: its checkpoints go to the service while it goes on."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from lossatlas.callbacks.background import Background
from lossatlas.callbacks.snapshots import finite, is_first_process, snapshot
from lossatlas.client import Client
from lossatlas.errors import ConfigurationError, InputError, LossatlasError, ProblemError
from lossatlas.values import Checkpoint, Model

log = logging.getLogger("lossatlas.training")

#: How long the end of a training waits for the last uploads.
DEADLINE_SECONDS: Final = 60.0
#: A bad moment of the service is waited out for so long, in the background.
_RETRY_SECONDS: Final = 30.0


@dataclass(frozen=True)
class _Moment:
    weights: Mapping[str, Any]
    details: Mapping[str, Any]


class Run:
    """A training's checkpoints, uploaded in the background. Made by `training`.

    A checkpoint costs the training one copy of the weights to the CPU's memory. Whatever goes
    wrong after that (no service, one that hangs, a wrong key, weights that do not fit, a full disk)
    becomes one warning in the log `lossatlas.training`; the training goes on as without it. When
    uploads are slower than checkpoints come, checkpoints are dropped, but never the last one. With
    `strict`, errors are raised by the next `checkpoint` or at the end, and nothing is dropped:
    `checkpoint` waits for room.

    Attributes:
        model: the model, once the service has it.
        uploaded: the checkpoints that the service has.
        dropped, failed: how many checkpoints were skipped, and how many could not be sent.
    """

    def __init__(
        self,
        client: Client | Callable[[], Client],
        find: Callable[[Client], Model],
        *,
        capacity: int,
        deadline: float,
        strict: bool,
        active: bool,
    ) -> None:
        self._given = client
        self._find = find
        self._capacity = capacity
        self._deadline = deadline
        self._strict = strict
        self._active = active
        self._client: Client | None = None
        self._background: Background[_Moment] | None = None
        self._error: Exception | None = None
        self._warned = False
        self._lock = threading.Lock()
        self.model: Model | None = None
        self.uploaded: list[Checkpoint] = []
        self.dropped = 0
        self.failed = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.close()
            return
        # the training's own error is the one to be seen
        with self.calmly(strict=False):
            self._end()

    def start(self) -> None:
        """Begins; does nothing in all processes but the first of a distributed training."""
        if not self._active or self._background is not None:
            return
        with self.calmly():
            given = self._given
            self._client = given if isinstance(given, Client) else given()
            self._background = Background(self._send, self._trouble, capacity=self._capacity)

    def checkpoint(
        self,
        network: Any,
        *,
        step: int | None = None,
        epoch: float | None = None,
        learning_rate: float | None = None,
        metrics: Mapping[str, Any] | None = None,
        label: str | None = None,
    ) -> None:
        """Takes the weights as they are now; returns as soon as they are copied.

        Args:
            network: the module, or a state dict.
            metrics: numbers; those that are not finite are left out.

        Raises:
            LossatlasError: with `strict` only.
        """
        if self._strict:
            self._raise()
        background = self._background
        if background is None or not self._active:
            return
        with self.calmly():
            if self._strict:
                background.make_room()
                self._raise()
            rate = finite({"rate": learning_rate}).get("rate")
            details = {
                "step": None if step is None else int(step),
                "epoch": None if epoch is None else float(epoch),
                "learning_rate": rate,
                "metrics": finite(metrics or {}),
                "label": label,
            }
            if not background.put(_Moment(self._copied(network), details)):
                self.dropped += 1

    def close(self) -> None:
        """Waits for the last uploads, within the deadline, and ends.

        Raises:
            LossatlasError: with `strict` only.
        """
        with self.calmly():
            self._end()
        if self._strict:
            self._raise()

    @contextmanager
    def calmly(self, *, strict: bool | None = None) -> Iterator[None]:
        """Makes one warning of what goes wrong inside, unless `strict`."""
        try:
            yield
        except Exception as error:  # the training is worth more than its record
            if self._strict if strict is None else strict:
                raise
            self._trouble(error)

    def _copied(self, network: Any) -> Mapping[str, Any]:
        try:
            return snapshot(network)
        except BaseException:
            self.failed += 1
            raise

    def _end(self) -> None:
        background, self._background = self._background, None
        if background is None:
            return
        left = background.close(self._deadline)
        if left:
            self.failed += left
            self._trouble_of_end(left)
        if self.dropped:
            self._warn(
                f"{self.dropped} checkpoints were dropped: uploads were slower than checkpoints "
                "came; the last one was kept"
            )
        if not left and self._client is not None and self._client is not self._given:
            self._client.close()
        log.info(
            "%d checkpoints uploaded, %d dropped, %d failed",
            len(self.uploaded), self.dropped, self.failed,
        )  # fmt: skip

    def _trouble_of_end(self, left: int) -> None:
        error = LossatlasError(
            f"{left} checkpoints were not uploaded within {self._deadline:g} s of the end"
        )
        self._error = self._error or error
        self._warn(str(error))

    def _send(self, moment: _Moment) -> None:
        """In the background."""
        client = self._client
        assert client is not None  # noqa: S101 - made before the thread
        if not self._active:
            self.failed += 1
            return
        try:
            if self.model is None:
                self.model = self._find(client)
            sent = client.push_checkpoint(self.model, moment.weights, **moment.details)
        except BaseException:
            self.failed += 1
            raise
        self.uploaded.append(sent)

    def _trouble(self, error: Exception) -> None:
        self._error = self._error or error
        final = isinstance(error, ConfigurationError) or (
            isinstance(error, ProblemError) and not error.retryable
        )
        if final:
            # it would be the same the next time: nothing more is copied or sent
            self._active = False
        ending = "no more checkpoints are sent" if final else "the training goes on"
        self._warn(f"{type(error).__name__}: {error}; {ending}")

    def _warn(self, words: str) -> None:
        with self._lock:
            warned, self._warned = self._warned, True
        if not warned and not self._strict:
            log.warning("Lossatlas: %s", words)

    def _raise(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            raise error


def training(
    model: Model | str | None = None,
    *,
    project: str | None = None,
    name: str | None = None,
    program: str | Path | None = None,
    loss: str = "cross_entropy",
    reduction: str | None = None,
    tags: Iterable[str] = (),
    metadata: Mapping[str, Any] | None = None,
    client: Client | None = None,
    url: str | None = None,
    key: str | None = None,
    capacity: int = 2,
    deadline: float = DEADLINE_SECONDS,
    strict: bool = False,
    first: bool | None = None,
) -> Run:
    """Uploads the checkpoints of a training while it goes on.

        with lossatlas.training(project="vision", name="resnet20", program="resnet20.pt2") as run:
            for step, batch in enumerate(batches):
                ...
                if step % 100 == 0:
                    run.checkpoint(network, step=step, learning_rate=rate, metrics={"loss": loss})

    Args:
        model: one that is registered, or its id; otherwise `project`, `name` and `program` (a
            `.pt2`) register one, as `Client.push_model` does, in the background too.
        client, url, key: the service; found as `Client` does when left out.
        capacity: how many checkpoints are held in memory at most, beside the one being sent.
        deadline: seconds that the end waits for the last uploads.
        strict: raise what goes wrong, and wait instead of dropping.
        first: whether this process sends; by default the process of rank 0 does.

    Raises:
        InputError: neither a model nor what registers one.
    """
    if model is None and (project is None or name is None or program is None):
        raise InputError("give a model, or project, name and program to register one")
    if capacity < 1:
        raise InputError("capacity is at least 1")

    def connect() -> Client:
        return Client(url, key, progress=False, retry_seconds=_RETRY_SECONDS)

    def find(service: Client) -> Model:
        if isinstance(model, Model):
            return model
        if model is not None:
            return service.model(model)
        assert project is not None and name is not None  # noqa: S101, PT018 - checked above
        return service.push_model(
            program,
            project=project,
            name=name,
            loss=loss,
            reduction=reduction,
            tags=tags,
            metadata=metadata,
        )

    active = is_first_process() if first is None else first
    return Run(
        client or connect, find, capacity=capacity, deadline=deadline, strict=strict, active=active
    )
