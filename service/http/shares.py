"""Work is done at a bounded number of places, and whoever waits for one takes turns.

What one caller asks for, however much it is, leaves places to the others: no key and no project has
all of them, and of those that wait, projects take turns, and within a project its keys do. Owns
lanes and what is held to them; never says what an address may ask.

After deficit-free round robin (Nagle 1987, "On packet switches with infinite storage").
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from service.domain.problems import Problem
from service.http.proxies import address_of

#: Somebody who has waited so long for a place is told to come again.
_LONGEST_WAIT: Final = 60.0


@dataclass(frozen=True)
class Width:
    """How many requests of one sort are worked on at once, and wait.

    Attributes:
        places: of all callers.
        of_project: at most so many of one project's keys.
        of_key: at most so many of one key.
        queue: of one key; beyond it the answer is 429.
    """

    places: int
    of_project: int
    of_key: int
    queue: int


@dataclass(frozen=True)
class Asker:
    """Whom a request is counted by.

    Attributes:
        project: or projects of the key, or its own where it has all.
        key: or the address of who has none.
    """

    project: str
    key: str

    @classmethod
    def of(cls, scope: Scope) -> Asker:
        """Who sent this request."""
        caller = scope["state"].get("caller")
        if caller is None:
            address = f"address {address_of(scope)}"
            return cls(address, address)
        projects = caller.key.projects
        return cls(
            f"key {caller.key.id}" if projects is None else "projects " + " ".join(projects),
            caller.key.id,
        )


class Lane:
    """Places for requests of one sort. For one event loop."""

    def __init__(self, name: str, width: Width) -> None:
        self._name = name
        self._width = width
        self._free = width.places
        self._held: Counter[str] = Counter()
        # projects in the order of their turns, in each its keys in theirs
        self._waiting: OrderedDict[str, OrderedDict[str, deque[asyncio.Future[None]]]] = (
            OrderedDict()
        )

    @asynccontextmanager
    async def place(self, asker: Asker) -> AsyncIterator[Callable[[], None]]:
        """A place, kept until the block ends or what is given is called.

        Raises:
            Problem: `too_many_at_once`: too many of the key wait already, or too long.
        """
        await self._enter(asker)
        given_back = False

        def give_back() -> None:
            nonlocal given_back
            if not given_back:
                given_back = True
                self._leave(asker)

        try:
            yield give_back
        finally:
            give_back()

    async def _enter(self, asker: Asker) -> None:
        if self._has_room(asker.project, asker.key):
            self._take(asker.project, asker.key)
            return
        queue = self._waiting.setdefault(asker.project, OrderedDict()).setdefault(
            asker.key, deque()
        )
        if len(queue) >= self._width.queue:
            raise self._full(f"{len(queue)} of this caller's wait already")
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.append(turn)
        try:
            await asyncio.wait_for(asyncio.shield(turn), _LONGEST_WAIT)
        except TimeoutError:
            if not turn.done():
                turn.cancel()
                self._forget(asker, turn)
                raise self._full(f"none came free within {_LONGEST_WAIT:.0f} s") from None
        except asyncio.CancelledError:
            if turn.done():
                self._leave(asker)
            else:
                turn.cancel()
                self._forget(asker, turn)
            raise

    def _leave(self, asker: Asker) -> None:
        self._free += 1
        for counted in (f"p {asker.project}", f"k {asker.key}"):
            self._held[counted] -= 1
            if not self._held[counted]:
                del self._held[counted]
        while self._free and self._next():
            pass

    def _has_room(self, project: str, key: str) -> bool:
        return (
            self._free > 0
            and self._held[f"p {project}"] < self._width.of_project
            and self._held[f"k {key}"] < self._width.of_key
        )

    def _take(self, project: str, key: str) -> None:
        self._free -= 1
        self._held[f"p {project}"] += 1
        self._held[f"k {key}"] += 1

    def _next(self) -> bool:
        """Gives a free place to whose turn it is; whether somebody could take it."""
        for project, keys in self._waiting.items():
            for key, queue in keys.items():
                if not self._has_room(project, key):
                    continue
                turn = queue.popleft()
                self._take(project, key)
                turn.set_result(None)
                keys.move_to_end(key)
                self._waiting.move_to_end(project)
                self._tidy(project, key)
                return True
        return False

    def _forget(self, asker: Asker, turn: asyncio.Future[None]) -> None:
        self._waiting[asker.project][asker.key].remove(turn)
        self._tidy(asker.project, asker.key)

    def _tidy(self, project: str, key: str) -> None:
        keys = self._waiting[project]
        if not keys[key]:
            del keys[key]
        if not keys:
            del self._waiting[project]

    def _full(self, why: str) -> Problem:
        return Problem(
            "too_many_at_once",
            f"{self._width.of_key} requests of one key are worked on at once in the lane "
            f"{self._name!r}, and {why}; wait for their answers first",
            headers={"Retry-After": "5"},
        )


class Place:
    """A request's place, for routes that hold an answer: in the request's state as `place`."""

    def __init__(self, give_back: Callable[[], None], holding: Holding, asker: Asker) -> None:
        self._give_back = give_back
        self._holding = holding
        self._asker = asker
        self._holds = False

    def hold(self) -> None:
        """Gives the place back: what follows is waiting, which takes none.

        Raises:
            Problem: `too_many_at_once`: the key waits for too many answers already.
        """
        if not self._holds:
            self._holding.begin(self._asker)
            self._holds = True
            self._give_back()

    def end(self) -> None:
        """The request is over."""
        if self._holds:
            self._holding.end(self._asker)


class Holding:
    """How many answers are held for each key. For one event loop."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._count: Counter[str] = Counter()

    def begin(self, asker: Asker) -> None:
        """One more. Raises Problem `too_many_at_once`."""
        if self._count[asker.key] >= self._most:
            raise Problem(
                "too_many_at_once",
                f"{self._most} answers are held for this key already; wait for several jobs by "
                "turns, or ask without `wait`",
                headers={"Retry-After": "5"},
            )
        self._count[asker.key] += 1

    def end(self, asker: Asker) -> None:
        """One fewer."""
        self._count[asker.key] -= 1
        if not self._count[asker.key]:
            del self._count[asker.key]


class Shares:
    """Middleware: every request has its place before the application sees it.

    Args:
        widths: of the lanes, by name.
        lane_of: the lane of a request (method, path); None for what waits for nobody.
        held: answers of one key that may be held.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        widths: Mapping[str, Width],
        lane_of: Callable[[str, str], str | None],
        held: int,
    ) -> None:
        self._app = app
        self._lanes = {name: Lane(name, width) for name, width in widths.items()}
        self._lane_of = lane_of
        self._holding = Holding(held)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        name = self._lane_of(scope["method"], scope["path"]) if scope["type"] == "http" else None
        if name is None:
            await self._app(scope, receive, send)
            return
        asker = Asker.of(scope)
        async with self._lanes[name].place(asker) as give_back:
            place = scope["state"]["place"] = Place(give_back, self._holding, asker)
            try:
                await self._app(scope, receive, send)
            finally:
                place.end()
