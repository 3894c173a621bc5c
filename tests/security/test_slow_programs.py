"""Programs that compute without end: they cost their own project its turn, and nobody else.

Two real workers; one project registers programs that would hold a worker for minutes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.chaos.conftest import QUICK
from tests.chaos.victim import pid_of
from tests.programs.archive import Archive
from tests.support.live import Api, Live
from tests.support.processes import descendants, until
from tests.support.reference import ROOT, push

pytestmark = pytest.mark.server

_INGEST_SECONDS = 10


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    env = {**QUICK, "LOSSATLAS_INGEST_SECONDS": str(_INGEST_SECONDS)}
    found = Live(tmp_path_factory.mktemp("slow") / "data", workers=2, env=env)
    try:
        found.start()
        yield found
        found.stop()
    finally:
        found.kill()


def _endless(products: int) -> bytes:
    """A network that adds 0 times a chain of products of matrices: minutes of one core."""

    def name(value: str) -> dict[str, Any]:
        return {"as_tensor": {"name": value}}

    def change(archive: Archive) -> None:
        result = archive.module["graph"]["outputs"][0]["as_tensor"]["name"]
        nodes: list[tuple[str, list[tuple[str, Any]], str]] = [
            (
                "full.default",
                [("size", {"as_ints": [4096, 4096]}), ("fill_value", {"as_float": 1e-4})],
                "m0",
            ),
            *(
                ("mm.default", [("self", name(f"m{i}")), ("mat2", name("m0"))], f"m{i + 1}")
                for i in range(products)
            ),
            ("sum.default", [("self", name(f"m{products}"))], "total"),
            ("mul.Scalar", [("self", name("total")), ("other", {"as_float": 0.0})], "nothing"),
            ("add.Tensor", [("self", name(result)), ("other", name("nothing"))], "after"),
        ]
        for operator, arguments, output in nodes:
            archive.nodes.append(
                {
                    "target": f"torch.ops.aten.{operator}",
                    "inputs": [{"name": n, "arg": a, "kind": 1} for n, a in arguments],
                    "outputs": [name(output)],
                    "metadata": {},
                }
            )
            archive.values[output] = dict(archive.values[result])
        archive.module["graph"]["outputs"] = [name("after")]
        for spec in archive.module["signature"]["output_specs"]:
            spec["user_output"]["arg"] = name("after")

    return Archive.of(ROOT / "digits_mlp" / "program.pt2").changed(change).to_bytes()


def _register(api: Api, products: int) -> str:
    made = api.create(
        "/v1/models",
        {
            "project": "hostile",
            "name": f"endless {products}",
            "program": api.put_object(_endless(products)),
            "loss": "cross_entropy",
        },
    )
    return str(made["id"])


def _ingest_of(api: Api, model: str) -> dict[str, Any]:
    (job,) = api.get("/v1/jobs", kind="ingest", model=model).json()["items"]
    found: dict[str, Any] = job
    return found


def _model(api: Api, model: str) -> dict[str, Any]:
    found: dict[str, Any] = api.get(f"/v1/models/{model}").json()
    return found


def test_endless_ingests_cost_nobody_else_anything(live: Live) -> None:
    api = live.api
    assert api is not None
    models = [_register(api, 400 + n) for n in range(8)]
    jobs = [_ingest_of(api, model)["id"] for model in models]

    def running() -> list[str]:
        found = api.get("/v1/jobs", kind="ingest", project="hostile", state="running").json()
        return [job["id"] for job in found["items"]]

    first = until("an endless ingest to run", lambda: running() or None)
    assert len(first) == 1

    # an honest project's model, checkpoints and surface go through beside it
    honest = push(api, "digits_mlp", project="honest")
    axis = {"min": -1, "max": 1, "num": 3}
    asked = api.create(
        "/v1/jobs",
        {
            "kind": "surface",
            "origin": honest.final,
            "directions": {"x": {"kind": "random", "seed": 1}, "y": {"kind": "random", "seed": 2}},
            "grid": {"x": axis, "y": axis},
            "datasets": [honest.dataset],
        },
    )
    assert len(running()) <= 1
    assert api.finish(asked["id"])["state"] == "succeeded"
    still = [j for j in jobs if api.get(f"/v1/jobs/{j}").json()["state"] in ("queued", "running")]
    assert still, "the honest job waited for all of the hostile ones"

    # the first one's budget ends it, with the reason
    hit = first[0]
    ended = api.finish(hit)
    assert (ended["state"], ended["error"]["code"]) == ("failed", "time_limit")
    assert f"longer than {_INGEST_SECONDS} seconds" in ended["error"]["detail"]
    refused = _model(api, models[jobs.index(hit)])
    assert refused["state"] == "refused"
    assert refused["problem"]["code"] == "time_limit"

    # the next one is cancelled while it runs, and its child goes with it
    seen = set(running())
    following = until("the next one to run", lambda: next(iter({*running()} - seen), None))
    worker = pid_of(_start_of(api, following))
    at_work = until("its child", lambda: _children(worker) or None)
    cancelled = api.post(f"/v1/jobs/{following}/cancel")
    assert (cancelled.status_code, cancelled.json()["state"]) == (200, "cancelled")
    assert "retry" not in cancelled.json()["links"]
    assert _model(api, models[jobs.index(following)])["state"] == "refused"
    for job in jobs:
        api.post(f"/v1/jobs/{job}/cancel")
    assert running() == []
    left = [api.get(f"/v1/jobs/{job}").json()["state"] for job in jobs]
    assert set(left) == {"failed", "cancelled"}

    # a warm spare stays
    until("the child at work on it to be gone", lambda: at_work - _children(worker) or None, 30.0)


def _start_of(api: Api, job: str) -> dict[str, Any]:
    events = api.get(f"/v1/jobs/{job}/events").json()["items"]
    started: dict[str, Any] = [e["data"] for e in events if e["type"] == "unit_started"][-1]
    return started


def _children(worker: int) -> set[int]:
    return {p.pid for p in descendants(worker) if p.runs("workers.child")}
