"""Places to work at: bounded, shared, and taken by turns."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Awaitable, Callable

import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from service.domain.problems import Problem
from service.http.lanes import lane_of, widths
from service.http.proxies import Proxies, bucket_of
from service.http.shares import Asker, Holding, Lane, Place, Width
from service.settings import Settings
from tests.support.serving import Serving

ALPHA = [Asker("alpha", f"a{n}") for n in range(4)]
BETA = [Asker("beta", f"b{n}") for n in range(4)]


class Work:
    """Requests in a lane that end when they are told to."""

    def __init__(self, width: Width) -> None:
        self.lane = Lane("test", width)
        self.begun: list[Asker] = []
        self._ends: list[asyncio.Event] = []
        self.tasks: list[asyncio.Task[None]] = []

    async def ask(self, asker: Asker, times: int = 1) -> None:
        for _ in range(times):
            self.tasks.append(asyncio.create_task(self._work(asker)))
        await settled()

    async def end(self, which: int) -> None:
        self._ends[which].set()
        await settled()

    async def _work(self, asker: Asker) -> None:
        async with self.lane.place(asker):
            self.begun.append(asker)
            end = asyncio.Event()
            self._ends.append(end)
            await end.wait()


async def settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def told(width: Width, story: Callable[[Work], Awaitable[None]]) -> None:
    async def whole() -> None:
        work = Work(width)
        await story(work)
        for task in work.tasks:
            task.cancel()
        await asyncio.gather(*work.tasks, return_exceptions=True)
        # nothing leaks: every place is free again
        assert work.lane._free == width.places
        assert not work.lane._held
        assert not work.lane._waiting

    asyncio.run(whole())


def test_no_key_and_no_project_has_every_place() -> None:
    async def story(work: Work) -> None:
        await work.ask(ALPHA[0], 10)
        assert work.begun == [ALPHA[0]] * 2
        await work.ask(ALPHA[1], 10)
        assert work.begun == [ALPHA[0]] * 2 + [ALPHA[1]]
        await work.ask(BETA[0], 1)
        assert work.begun[3:] == [BETA[0]]

    told(Width(places=4, of_project=3, of_key=2, queue=100), story)


def test_projects_take_turns_and_so_do_their_keys() -> None:
    async def story(work: Work) -> None:
        await work.ask(ALPHA[0], 6)
        await work.ask(ALPHA[1], 6)
        await work.ask(BETA[0], 6)
        for which in range(12):
            await work.end(which)
        turns = Counter(asker.key for asker in work.begun[1:12])
        assert turns == {"b0": 6, "a0": 3, "a1": 2} or turns == {"b0": 5, "a0": 3, "a1": 3}

    told(Width(places=1, of_project=1, of_key=1, queue=100), story)


def test_a_queue_is_bounded_for_each_key() -> None:
    async def story(work: Work) -> None:
        await work.ask(ALPHA[0], 4)
        with pytest.raises(Problem) as caught:
            async with work.lane.place(ALPHA[0]):
                pass
        assert caught.value.code == "too_many_at_once"
        assert caught.value.headers["Retry-After"]
        await work.ask(BETA[0])
        await work.end(0)
        assert len(work.begun) == 2

    told(Width(places=1, of_project=1, of_key=1, queue=3), story)


def test_who_goes_away_leaves_no_gap() -> None:
    async def story(work: Work) -> None:
        await work.ask(ALPHA[0], 3)
        work.tasks[1].cancel()
        await settled()
        await work.end(0)
        assert len(work.begun) == 2
        # gone at the very moment of its turn
        await work.ask(BETA[0])
        work._ends[1].set()
        work.tasks[3].cancel()
        await settled()
        await work.ask(BETA[1])
        assert work.begun[-1] == BETA[1]

    told(Width(places=1, of_project=1, of_key=1, queue=3), story)


def test_held_answers_take_no_place_and_are_counted() -> None:
    async def story() -> None:
        lane, holding = Lane("test", Width(1, 1, 1, 0)), Holding(2)
        for _ in range(2):
            async with lane.place(ALPHA[0]) as give_back:
                place = Place(give_back, holding, ALPHA[0])
                place.hold()
                place.hold()
                async with lane.place(BETA[0]):
                    pass
                place.end()
        places = [Place(lambda: None, holding, ALPHA[0]) for _ in range(3)]
        places[0].hold()
        places[1].hold()
        with pytest.raises(Problem) as caught:
            places[2].hold()
        assert caught.value.code == "too_many_at_once"
        Place(lambda: None, holding, BETA[0]).hold()
        places[0].end()
        places[2].hold()

    asyncio.run(story())


def test_every_route_has_its_lane(running: Serving) -> None:
    """Only health, scripts and the documentation wait for nobody."""
    app = running.server.config.app
    assert isinstance(app, FastAPI)
    known = widths(Settings())
    free, drawing = set(), set()
    for context in iter_route_contexts(app.routes):
        path = re.sub(r"{\w+}", "x", str(context.path))
        for method in context.methods or ():
            lane = lane_of(method, path)
            if lane is None:
                free.add(path)
                continue
            assert lane in known
            if lane == "drawing":
                drawing.add(path)
    assert free == {"/livez", "/readyz", "/docs", "/openapi.json", "/static/x"}
    assert {p for p in drawing if "figure" in p or "data." in p or "partial" in p} >= {
        "/v1/landscapes/x/figure.x",
        "/v1/landscapes/x/data.json",
        "/v1/landscapes/x/data.h5",
        "/v1/jobs/x/partial.png",
    }


def test_somebody_else_always_finds_a_place() -> None:
    for width in widths(Settings()).values():
        assert width.of_key <= width.of_project < width.places


@pytest.mark.parametrize(
    ("peer", "said", "caller"),
    [
        ("198.51.100.1", ["192.0.2.9"], "198.51.100.1"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["192.0.2.9"], "192.0.2.9"),
        ("10.0.0.1", ["1.1.1.1, 192.0.2.9"], "192.0.2.9"),
        ("10.0.0.1", ["1.1.1.1", "192.0.2.9, 10.0.0.2"], "192.0.2.9"),
        ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ("10.0.0.1", ["192.0.2.9, nonsense"], "10.0.0.1"),
        ("10.0.0.1", ["192.0.2.9,"], "10.0.0.1"),
        ("10.0.0.1", ["192.0.2.9:4711"], "192.0.2.9"),
        ("10.0.0.1", ["[2001:db8::7]:4711"], "2001:db8::7"),
        ("::ffff:10.0.0.1", ["192.0.2.9"], "192.0.2.9"),
        ("10.0.0.1", [",".join(["10.0.0.2"] * 100_000)], "10.0.0.2"),
    ],
)
def test_whose_address_it_is(peer: str, said: list[str], caller: str) -> None:
    assert Proxies(["10.0.0.0/8"]).caller(peer, said) == caller


def test_what_is_one_caller() -> None:
    assert bucket_of("192.0.2.9") == bucket_of("::ffff:192.0.2.9") != bucket_of("192.0.2.8")
    assert bucket_of("2001:db8::1") == bucket_of("2001:db8::ffff") != bucket_of("2001:db8:1::1")
    with pytest.raises(ValueError, match="proxies"):
        Proxies(["the proxies"])
    with pytest.raises(ValueError, match="nonsense"):
        Settings(trusted_proxies=("nonsense",))
