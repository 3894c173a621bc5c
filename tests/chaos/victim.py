"""A live service to be hurt: its processes by what they are for, and a job long enough to hit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx2
import numpy as np

from tests.support import processes
from tests.support.live import Api, Live
from tests.support.processes import Process, until
from tests.support.reference import Pushed, push

#: Points a side: some ten seconds of two workers' time.
NUM = 41


@dataclass
class Victim:
    """What the tests of kills work with."""

    live: Live
    api: Api
    pushed: Pushed

    @classmethod
    def start(cls, live: Live) -> Victim:
        api = live.start()
        return cls(live, api, push(api, "digits_convnet", project="chaos"))

    def family(self, *words: str) -> list[Process]:
        """Descendants of `up` whose command line has these words."""
        assert self.live.process is not None
        return [p for p in processes.descendants(self.live.process.pid) if p.runs(*words)]

    def surface(self, num: int = NUM, **change: Any) -> dict[str, Any]:
        axis = {"min": -1, "max": 1, "num": num}
        return {
            "kind": "surface",
            "origin": self.pushed.final,
            "directions": {"x": {"kind": "random", "seed": 1}, "y": {"kind": "random", "seed": 2}},
            "grid": {"x": axis, "y": axis},
            "datasets": [self.pushed.dataset],
            "force": True,
            **change,
        }

    def submit(self, **change: Any) -> str:
        made: dict[str, Any] = self.api.create("/v1/jobs", self.surface(**change))
        return str(made["id"])

    def events(self, job: str, *types: str) -> list[dict[str, Any]]:
        """The job's events of these types, in order; all when none is named."""
        found = until("the events", lambda: self.read(f"/v1/jobs/{job}/events"))["items"]
        return [e for e in found if not types or e["type"] in types]

    def tile_in_hand(self, job: str, but: frozenset[str] = frozenset()) -> dict[str, Any]:
        """A tile that a worker is at right now, once another one has been finished."""

        def look() -> dict[str, Any] | None:
            events = self.events(job)
            ended = {e["data"]["unit"] for e in events if e["type"] in ("unit_done", "unit_redone")}
            started = [
                e["data"]
                for e in events
                if e["type"] == "unit_started" and e["data"]["kind"] == "tile"
            ]
            inside = [s for s in started if s["unit"] not in ended and s["unit"] not in but]
            done = [e for e in events if e["type"] == "unit_done" and e["data"]["kind"] == "tile"]
            return inside[-1] if done and inside else None

        return until(f"a tile of {job} in hand", look)

    def finish(self, job: str, seconds: float = 150.0) -> dict[str, Any]:
        """The job in its final state; answers that an outage spoils are asked for again."""

        def look() -> dict[str, Any] | None:
            found = self.read(f"/v1/jobs/{job}", wait=5)
            over = found is not None and found["state"] in ("succeeded", "failed", "cancelled")
            return found if over else None

        return until(f"{job} to end", look, seconds)

    def read(self, path: str, **query: Any) -> dict[str, Any] | None:
        """JSON of an address, or None while the service cannot give it."""
        try:
            answer = self.api.get(path, **query)
        except httpx2.TransportError:
            return None
        if answer.status_code == 200:
            found: dict[str, Any] = answer.json()
            return found
        assert answer.status_code == 503, answer.text
        return None

    def loss(self, job: dict[str, Any]) -> np.ndarray[Any, Any]:
        assert job["state"] == "succeeded", job
        data = until("the data", lambda: self.read(f"/v1/landscapes/{job['landscape']}/data.json"))
        grid = data["datasets"][self.pushed.folder]["loss"]["values"]
        return np.array(grid, dtype=np.float64)

    def reachable(self) -> bool:
        """Whether the service says that it is ready."""
        try:
            return self.api.http.get("/readyz", timeout=2.0).status_code == 200
        except httpx2.HTTPError:
            return False

    def require_once(self, job: str) -> None:
        """Every unit ended exactly once, and there is one landscape."""
        units = [e["data"]["unit"] for e in self.events(job, "unit_done")]
        assert len(units) == len(set(units)), "a unit was reported twice"
        ends = self.events(job, "finished")
        assert len(ends) == 1, ends


def pid_of(tile: dict[str, Any]) -> int:
    """The worker process that a `unit_started` event names as host:pid."""
    return int(str(tile["worker"]).rpartition(":")[2])
