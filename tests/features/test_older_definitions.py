"""What an earlier release computed under older definitions, seen over HTTP by today's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from service.domain import definitions
from service.domain.definitions import DEFINITIONS, FIRST
from service.http.services import Services
from service.jobs import digest
from service.ledger import directions
from tests.features.by_hand import ByHand
from tests.features.caller import Caller, problem
from tests.features.pushed import Pushed
from tests.features.reference import packed

AXIS = {"min": -1, "max": 1, "num": 7}


def surface(pushed: Pushed, **changes: Any) -> dict[str, Any]:
    return {
        "kind": "surface",
        "origin": pushed.final,
        "directions": {"x": {"kind": "random", "seed": 71}, "y": {"kind": "random", "seed": 72}},
        "grid": {"x": AXIS, "y": AXIS},
        "datasets": [pushed.dataset],
        **changes,
    }


@contextmanager
def earlier_release() -> Iterator[None]:
    """Questions and directions named as a release of older definitions names them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(definitions, "DEFINITIONS", FIRST)
        patch.setattr(digest, "DEFINITIONS", FIRST)
        yield


def computed(
    api: Caller, services: Services, spec: dict[str, Any], under: str = DEFINITIONS
) -> dict[str, Any]:
    """The landscape of a job from beginning to end."""
    job = api.create("/v1/jobs", spec)["id"]
    ByHand(services, job, definitions=under).whole()
    identity = api.get(f"/v1/jobs/{job}").json()["landscape"]
    found: dict[str, Any] = api.get(f"/v1/landscapes/{identity}").json()
    return found


@pytest.fixture(scope="module")
def old(api: Caller, services: Services, pushed: Pushed) -> dict[str, Any]:
    with earlier_release():
        made = computed(api, services, surface(pushed), under=FIRST)
    found: dict[str, Any] = api.get(f"/v1/landscapes/{made['id']}").json()
    return found


@pytest.fixture(scope="module")
def new(api: Caller, services: Services, pushed: Pushed, old: dict[str, Any]) -> dict[str, Any]:
    assert old["id"]
    return computed(api, services, surface(pushed))


def test_an_old_question_is_computed_anew(
    api: Caller, pushed: Pushed, old: dict[str, Any], new: dict[str, Any]
) -> None:
    assert new["id"] != old["id"]
    assert new["input_digest"] != old["input_digest"]
    # and what is there under today's definitions answers it from now on
    again = api.post("/v1/jobs", surface(pushed))
    assert (again.status_code, again.json()["landscape"]) == (200, new["id"])
    # directions too: the tensors of then are not those of now
    then, now = (one["provenance"]["directions"] for one in (old, new))
    for axis in "xy":
        assert then[axis]["spec"] == now[axis]["spec"]
        assert then[axis]["id"] != now[axis]["id"]


def test_old_results_keep_their_definitions_and_say_so(
    api: Caller, old: dict[str, Any], new: dict[str, Any]
) -> None:
    assert (old["provenance"]["definitions"], new["provenance"]["definitions"]) == (
        FIRST,
        DEFINITIONS,
    )
    assert FIRST in old["outdated"]
    assert DEFINITIONS in old["outdated"]
    assert new["outdated"] is None
    body = api.get(f"/v1/landscapes/{old['id']}/data.json").json()
    assert body["outdated"] == old["outdated"]
    # measures are those that were stored, whatever today's rules would say
    assert body["derived"] == old["derived"]
    assert "outdated" not in api.get(f"/v1/landscapes/{new['id']}/data.json").json()
    # VTK writes strings as numbers
    numbers = " ".join(str(byte) for byte in FIRST.encode())
    for format, said in (("data.vts", numbers), ("view", "older definitions")):
        assert said in api.get(f"/v1/landscapes/{old['id']}/{format}").text
    figures = [api.get(f"/v1/landscapes/{one['id']}/figure.svg").text for one in (old, new)]
    assert ["older definitions" in figure for figure in figures] == [True, False]


def test_a_check_names_the_definitions_and_says_what_to_compute_again(
    api: Caller, old: dict[str, Any], new: dict[str, Any]
) -> None:
    body = {"landscape": new["id"], "baseline": old["id"], "rules": ["sharpness <= baseline"]}
    with api.nothing_changes():
        told = problem(api.post("/v1/checks", body), 422, "not_comparable", "/baseline")
    assert told["differences"] == [
        {"field": "definitions", "landscape": DEFINITIONS, "baseline": FIRST}
    ]
    assert "compute the baseline again" in told["detail"]
    turned = {**body, "landscape": old["id"], "baseline": new["id"]}
    told = problem(api.post("/v1/checks", turned), 422, "not_comparable", "/baseline")
    assert "compute the landscape again" in told["detail"]
    # of a checkpoint's landscapes the newest comparable one is taken, never an older version's
    latest = {**body, "landscape": old["id"], "baseline": old["origin"]}
    assert api.create("/v1/checks", latest)["baseline"]["landscape"] == old["id"]


def test_differences_are_refused_and_curves_on_the_same_axes_are_marked(
    api: Caller, services: Services, pushed: Pushed, old: dict[str, Any], new: dict[str, Any]
) -> None:
    address = f"/v1/landscapes/{new['id']}/difference.png"
    told = problem(api.get(address, subtract=old["id"]), 422, "not_supported", "/subtract")
    assert FIRST in told["detail"]
    assert "job of the second again" in told["detail"]
    line = {
        "kind": "interpolation",
        "origin": pushed.final,
        "target": pushed.first,
        "alpha": {"min": 0, "max": 1, "num": 6},
        "datasets": [pushed.dataset],
    }
    with earlier_release():
        then = computed(api, services, line, under=FIRST)
    now = computed(api, services, line)
    figure = api.get(f"/v1/landscapes/{now['id']}/figure.svg", beside=then["id"]).text
    assert "under different definitions" in figure
    for name in (FIRST, DEFINITIONS):
        assert name in figure


def test_a_direction_of_then_is_its_tensors_and_never_a_spec(
    api: Caller, services: Services, pushed: Pushed, new: dict[str, Any]
) -> None:
    shapes = {
        "fc1.weight": (8, 64), "fc1.bias": (8,), "fc2.weight": (10, 8), "fc2.bias": (10,)
    }  # fmt: skip
    tensors = {
        axis: api.put(packed(**{n: np.full(s, size, np.float32) for n, s in shapes.items()}))
        for axis, size in (("x", 0.1), ("y", 0.2))
    }
    asked = surface(pushed)["directions"]
    with earlier_release():
        then = {
            axis: api.create("/v1/directions", {"checkpoint": pushed.first, "axis": axis, **spec})
            for axis, spec in asked.items()
        }
    with services.database.transaction() as session:
        for axis, direction in then.items():
            directions.materialise(session, direction["id"], tensors[axis], 1.0)
    spec = surface(pushed, origin=pushed.first)
    named = {axis: direction["id"] for axis, direction in then.items()}
    job = api.create("/v1/jobs", {**spec, "directions": named})
    # named by its id it is another question than its spec, whose tensors are others today
    given = job["spec"]["directions"]
    assert {axis: (d["kind"], d["object"]) for axis, d in given.items()} == {
        axis: ("uploaded", tensors[axis]) for axis in "xy"
    }
    inline = api.create("/v1/jobs", spec)
    assert inline["id"] != job["id"]
    assert not {*inline["directions"].values()} & {*named.values()}
    # one of today stands for its spec, as ever
    today = {axis: made["id"] for axis, made in new["provenance"]["directions"].items()}
    again = api.post("/v1/jobs", surface(pushed, directions=today))
    assert (again.status_code, again.json()["landscape"]) == (200, new["id"])


def test_a_direction_of_then_without_tensors_is_made_under_today_s(
    api: Caller, pushed: Pushed
) -> None:
    def saved(seed: int) -> str:
        body = {"checkpoint": pushed.final, "kind": "random", "seed": seed}
        return str(api.create("/v1/directions", body)["id"])

    with earlier_release():
        then = {"x": saved(73), "y": saved(74)}
    job = api.create("/v1/jobs", surface(pushed, directions=then))
    assert not set(job["directions"].values()) & set(then.values())
    assert [spec["seed"] for spec in job["spec"]["directions"].values()] == [73, 74]


def test_what_depends_on_no_definition_stays_the_same_direction(
    api: Caller, pushed: Pushed
) -> None:
    body = {"checkpoint": pushed.final, "kind": "between", "target": pushed.first}
    with earlier_release():
        then = api.create("/v1/directions", body)["id"]
    assert api.create("/v1/directions", body)["id"] == then
    with earlier_release():
        layered = api.create("/v1/directions", {**body, "normalize": "layer"})["id"]
    assert api.create("/v1/directions", {**body, "normalize": "layer"})["id"] != layered


def test_a_plan_of_then_says_so_while_it_is_computed(
    api: Caller, services: Services, pushed: Pushed
) -> None:
    job = api.create("/v1/jobs", surface(pushed, force=True))["id"]
    ByHand(services, job, definitions=FIRST).prepare(tile_cells=10)
    partial = api.get(f"/v1/jobs/{job}/partial.json").json()
    assert partial["provenance"]["definitions"] == FIRST
    assert FIRST in partial["outdated"]
