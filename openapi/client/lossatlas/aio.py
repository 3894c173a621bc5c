"""The client between other tasks (asyncio or trio).

    async with lossatlas.AsyncClient() as client:
        job = await client.surface(checkpoint, [data])
        landscape = await job.wait()
        landscape.loss

Its methods are `Client`'s, with the same arguments, awaited: the very same functions, whose steps
an `AsyncTransport` runs. Lists are iterated over with `async for`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from types import TracebackType
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar

from lossatlas.aio_transport import AsyncTransport
from lossatlas.client import Client
from lossatlas.discovery import find_endpoint
from lossatlas.errors import InputError
from lossatlas.grids import Grid
from lossatlas.jobs import Job, JobBase
from lossatlas.landscapes import Landscape, reading
from lossatlas.listing import Listing, Pages
from lossatlas.pushing import Pushing
from lossatlas.steps import Call, Steps, call, fetch
from lossatlas.values import JobState, LandscapeRecord
from lossatlas.viewing import LandscapeBase

P = ParamSpec("P")
T = TypeVar("T")


class Awaited(Generic[P, T]):
    """A method of the other client's, whose result is to be awaited."""

    def __init__(self, method: Callable[..., Any]) -> None:
        self.__wrapped__ = method
        self.__doc__ = method.__doc__

    def __get__(
        self, instance: Any, owner: type | None = None
    ) -> Callable[P, Coroutine[Any, Any, T]]:
        bound: Any = self if instance is None else self.__wrapped__.__get__(instance, owner)
        return bound  # type: ignore[no-any-return]


class Iterated(Generic[P, T]):
    """A method of the other client's, whose result is iterated over with `async for`."""

    def __init__(self, method: Callable[..., Any]) -> None:
        self.__wrapped__ = method
        self.__doc__ = method.__doc__

    def __get__(self, instance: Any, owner: type | None = None) -> Callable[P, AsyncListing[T]]:
        bound: Any = self if instance is None else self.__wrapped__.__get__(instance, owner)
        return bound  # type: ignore[no-any-return]


def _awaited(method: Callable[Concatenate[Any, P], T]) -> Awaited[P, T]:
    return Awaited(method)


def _gives_job(method: Callable[Concatenate[Any, P], Job]) -> Awaited[P, AsyncJob]:
    return Awaited(method)


def _gives_landscape(
    method: Callable[Concatenate[Any, P], Landscape],
) -> Awaited[P, AsyncLandscape]:
    return Awaited(method)


def _lists(method: Callable[Concatenate[Any, P], Listing[T]]) -> Iterated[P, T]:
    return Iterated(method)


def _lists_jobs(method: Callable[Concatenate[Any, P], Listing[Job]]) -> Iterated[P, AsyncJob]:
    return Iterated(method)


def _lists_landscapes(
    method: Callable[Concatenate[Any, P], Listing[Landscape]],
) -> Iterated[P, AsyncLandscape]:
    return Iterated(method)


class AsyncListing(Generic[T]):
    """A list of the service, page by page as its items are asked for."""

    def __init__(self, transport: AsyncTransport, pages: Pages, made: Callable[[Any], T]) -> None:
        self._transport = transport
        self._pages = pages
        self._made = made
        self._ready: deque[T] = deque()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        while not self._ready and not self._pages.over:
            items = await self._transport.run(self._pages.next())
            self._ready.extend(self._made(item) for item in items)
        if not self._ready:
            raise StopAsyncIteration
        return self._ready.popleft()


class AsyncLandscape(LandscapeBase):
    """A loss landscape, immutable. Its arrays are there once it is loaded.

    `AsyncJob.wait`, `AsyncJob.result` and `AsyncClient.landscape` load them; those of a list are
    loaded by `await landscape.load()`.
    """

    def __init__(self, transport: AsyncTransport, record: LandscapeRecord) -> None:
        super().__init__(transport, record)
        self._grid: Grid | None = None

    @property
    def grid(self) -> Grid:
        """Axes and values of every data set. Raises InputError before they are loaded."""
        if self._grid is None:
            raise InputError(f"the arrays of {self.id} are not here yet: await landscape.load()")
        return self._grid

    async def load(self) -> Self:
        """Fetches the arrays, unless they are here. Returns the landscape itself."""
        await self._transport.run(self.loading())
        return self

    def loading(self) -> Steps[None]:
        """`load` as steps."""
        if self._grid is None:
            self._grid = yield from reading(self.id)

    figure = _awaited(Landscape.figure)
    save_figure = _awaited(Landscape.save_figure)
    save_data = _awaited(Landscape.save_data)
    page = _awaited(Landscape.page)
    save_page = _awaited(Landscape.save_page)
    show = _awaited(Landscape.show)
    save = _awaited(Landscape.save)

    def _repr_html_(self) -> str:
        return self._card()


class AsyncJob(JobBase[AsyncLandscape]):
    """A job. `state` is what the service said last; `await job.refresh()` asks again."""

    refresh = _awaited(Job.refresh)
    wait = _gives_landscape(Job.wait)
    result = _gives_landscape(Job.result)
    cancel = _awaited(Job.cancel)
    retry = _awaited(Job.retry)
    partial = _awaited(Job.partial)

    def made(self, record: LandscapeRecord) -> Steps[AsyncLandscape]:
        """See JobBase."""
        landscape = AsyncLandscape(self._transport, record)
        yield from landscape.loading()
        return landscape


class AsyncClient:
    """One service, seen through one key, between other tasks. Arguments are those of `Client`."""

    def __init__(
        self,
        url: str | None = None,
        key: str | None = None,
        *,
        retry_seconds: float = 30.0,
        progress: bool = True,
        notice: Callable[[str], None] | None = None,
    ) -> None:
        self.endpoint = find_endpoint(url, key)
        self.transport = AsyncTransport(self.endpoint, retry_seconds=retry_seconds, notice=notice)
        self._pushing = Pushing(self.endpoint.url, progress=progress)

    def __repr__(self) -> str:
        return f"<AsyncClient {self.endpoint.url}>"

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
        await self.transport.close()

    push_model = _awaited(Client.push_model)
    push_checkpoint = _awaited(Client.push_checkpoint)
    push_dataset = _awaited(Client.push_dataset)
    push_direction = _awaited(Client.push_direction)

    surface = _gives_job(Client.surface)
    interpolate = _gives_job(Client.interpolate)
    line = _gives_job(Client.line)
    plane_through = _gives_job(Client.plane_through)
    trajectory = _gives_job(Client.trajectory)
    curvature = _gives_job(Client.curvature)
    convexity_map = _gives_job(Client.convexity_map)
    submit = _gives_job(Client.submit)

    check = _awaited(Client.check)
    verdict = _awaited(Client.verdict)
    checks = _lists(Client.checks)
    set_alias = _awaited(Client.set_alias)
    remove_alias = _awaited(Client.remove_alias)
    alias = _awaited(Client.alias)
    aliases = _lists(Client.aliases)
    alias_history = _lists(Client.alias_history)
    share = _awaited(Client.share)
    unshare = _awaited(Client.unshare)
    shares = _lists(Client.shares)

    job = _gives_job(Client.job)
    landscape = _gives_landscape(Client.landscape)
    model = _awaited(Client.model)
    checkpoint = _awaited(Client.checkpoint)
    dataset = _awaited(Client.dataset)
    models = _lists(Client.models)
    checkpoints = _lists(Client.checkpoints)
    datasets = _lists(Client.datasets)
    jobs = _lists_jobs(Client.jobs)
    landscapes = _lists_landscapes(Client.landscapes)
    items = _lists(Client.items)

    # what `Client`'s functions find in its place

    def _run(self, steps: Steps[T]) -> Coroutine[Any, Any, T]:
        return self.transport.run(steps)

    def _listed(
        self, path: str, filters: Mapping[str, Any], made: Callable[[Any], T]
    ) -> AsyncListing[T]:
        return AsyncListing(self.transport, Pages(path, filters), made)

    def _job(self, body: Any) -> AsyncJob:
        return AsyncJob(self.transport, JobState.model_validate(body))

    def _landscape(self, body: Any) -> AsyncLandscape:
        return AsyncLandscape(self.transport, LandscapeRecord.model_validate(body))

    def _submitting(self, request: Call) -> Steps[AsyncJob]:
        return self._job((yield from call(request)).json())

    def _found_job(self, job: str) -> Steps[AsyncJob]:
        return self._job((yield from fetch(f"/v1/jobs/{job}")))

    def _found_landscape(self, landscape: str) -> Steps[AsyncLandscape]:
        if landscape.startswith("job_"):
            job = yield from self._found_job(landscape)
            return (yield from job.finishing())
        found = self._landscape((yield from fetch(f"/v1/landscapes/{landscape}")))
        yield from found.loading()
        return found
