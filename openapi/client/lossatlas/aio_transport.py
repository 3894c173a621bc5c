"""The wire between other tasks: `transport`'s calls and rules, awaited (asyncio or trio)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from types import TracebackType
from typing import Self, TypeVar

import anyio
import anyio.to_thread
import httpx2

from lossatlas.discovery import Endpoint
from lossatlas.errors import ProblemError
from lossatlas.steps import Answer, Call, Local, Steps
from lossatlas.transport import Tries, arguments, elsewhere, read, settings_of

T = TypeVar("T")


class AsyncTransport:
    """Calls one service with one key. Its arguments are those of `Transport`."""

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        retry_seconds: float = 30.0,
        notice: Callable[[str], None] | None = None,
    ) -> None:
        self.endpoint = endpoint
        self.retry_seconds = retry_seconds
        self._notice = notice
        self._http = httpx2.AsyncClient(**settings_of(endpoint))
        # for addresses elsewhere: it knows no key
        self._plain = httpx2.AsyncClient(follow_redirects=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connections."""
        await self._http.aclose()
        await self._plain.aclose()

    async def send(self, call: Call) -> Answer:
        """Makes one call, repeated as far as that is safe and helps. Raises as `Transport.call`."""
        tries = Tries(self.endpoint, call, self.retry_seconds, self._notice)
        http = self._plain if elsewhere(call) else self._http
        content = call.content
        while True:
            try:
                body = None if content is None else _between_tasks(content())
                return read(await http.request(**arguments(call), content=body))
            except (ProblemError, httpx2.RequestError) as error:
                wait = tries.after(error)
            await anyio.sleep(wait)

    async def run(self, steps: Steps[T]) -> T:
        """Runs an operation to its end; cancelled, it cleans up first. Raises what calls raise."""
        try:
            step = next(steps)
            while True:
                try:
                    if isinstance(step, Local):
                        result = await anyio.to_thread.run_sync(step.work)
                    else:
                        result = await self.send(step)
                except BaseException as error:  # noqa: BLE001 - it is raised inside the steps
                    step = steps.throw(error)
                else:
                    step = steps.send(result)
        except StopIteration as end:
            value: T = end.value
            return value


async def _between_tasks(pieces: Iterable[bytes]) -> AsyncIterator[bytes]:
    """Pieces of a file, read while other tasks go on."""
    ready: Iterator[bytes] = iter(pieces)
    while (piece := await anyio.to_thread.run_sync(next, ready, None)) is not None:
        yield piece
