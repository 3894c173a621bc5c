"""Jobs over HTTP: submitted once, judged whole, followed, cancelled and tried again."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.features.caller import Caller, problem
from tests.features.pushed import Pushed
from tests.features.reference import MLP, packed, read

AXIS = {"min": -1, "max": 1, "num": 3}


def surface(pushed: Pushed, **changes: Any) -> dict[str, Any]:
    return {
        "kind": "surface",
        "origin": pushed.final,
        "directions": {"x": {"kind": "random", "seed": 1}, "y": {"kind": "random", "seed": 2}},
        "grid": {"x": AXIS, "y": AXIS},
        "datasets": [pushed.dataset],
        **changes,
    }


def line(pushed: Pushed, **changes: Any) -> dict[str, Any]:
    return {
        "kind": "interpolation",
        "origin": pushed.final,
        "target": pushed.first,
        "alpha": {"min": 0, "max": 1, "num": 5},
        "datasets": [pushed.dataset],
        **changes,
    }


def test_a_surface_is_accepted(api: Caller, pushed: Pushed) -> None:
    answer = api.post("/v1/jobs", surface(pushed, tags=["b", "a"], priority=2, force=True))
    assert answer.status_code == 202, answer.text
    job = answer.json()
    assert answer.headers["location"] == f"/v1/jobs/{job['id']}"
    assert job["kind"] == "surface"
    assert job["state"] == "queued"
    assert job["project"] == "pushed"
    assert job["tags"] == ["a", "b"]
    assert job["priority"] == 2
    assert job["progress"]["done"] == 0
    assert job["progress"]["unit"] == "cells"
    assert job["landscape"] is None
    assert job["error"] is None
    assert job["spec"]["directions"]["y"] == {
        "kind": "random",
        "seed": 2,
        "normalize": "filter",
        "ignore": ["bias", "norm"],
        "convention": "lossatlas",
        "axis": "y",
    }
    assert job["spec"]["sampling"] == {"mode": "exact"}
    for axis, identity in job["directions"].items():
        recorded = api.get(f"/v1/directions/{identity}").json()
        assert recorded["spec"] == job["spec"]["directions"][axis]
    assert api.get(f"/v1/jobs/{job['id']}").json() == job


def test_a_line_records_its_direction(api: Caller, pushed: Pushed) -> None:
    job = api.create("/v1/jobs", line(pushed))
    recorded = api.get(f"/v1/directions/{job['directions']['x']}").json()
    assert recorded["spec"]["kind"] == "between"
    assert recorded["spec"]["target"] == pushed.first


def test_the_same_question_is_the_same_job(api: Caller, pushed: Pushed) -> None:
    asked = surface(pushed, grid={"x": AXIS, "y": {**AXIS, "num": 4}})
    first = api.post("/v1/jobs", asked)
    again = api.post("/v1/jobs", {**asked, "tags": ["again"], "priority": 1})
    assert (first.status_code, again.status_code) == (202, 200)
    assert again.json()["id"] == first.json()["id"]
    forced = api.post("/v1/jobs", {**asked, "force": True})
    assert forced.status_code == 202
    assert forced.json()["id"] != first.json()["id"]


def test_the_same_bytes_under_other_ids_are_the_same_question(api: Caller, pushed: Pushed) -> None:
    asked = surface(pushed, grid={"x": AXIS, "y": {**AXIS, "num": 5}})
    first = api.create("/v1/jobs", asked)
    twin = api.create(
        f"/v1/models/{pushed.model}/checkpoints",
        {"weights": api.put(read(MLP, "checkpoint_12.safetensors"))},
    )
    assert api.create("/v1/jobs", {**asked, "origin": twin["id"]})["id"] == first["id"]


def test_an_idempotency_key_makes_one_job(api: Caller, pushed: Pushed) -> None:
    asked = surface(pushed, force=True)
    key = {"Idempotency-Key": "nightly-1"}
    first = api.post("/v1/jobs", asked, headers=key)
    again = api.post("/v1/jobs", asked, headers=key)
    assert first.status_code == 202
    assert "idempotent-replayed" not in first.headers
    assert again.status_code == 200
    assert again.headers["idempotent-replayed"] == "true"
    assert again.json()["id"] == first.json()["id"]
    with api.nothing_changes():
        problem(
            api.post("/v1/jobs", {**asked, "priority": 1}, headers=key),
            422,
            "idempotency_key_reused",
        )
    other = api.post("/v1/jobs", asked, headers={"Idempotency-Key": "nightly-2"})
    assert other.json()["id"] != first.json()["id"]


def test_idempotency_keys_of_two_callers_are_their_own(
    api: Caller, colleague: Caller, pushed: Pushed
) -> None:
    key = {"Idempotency-Key": "shared"}
    first = api.post("/v1/jobs", surface(pushed, force=True), headers=key)
    second = colleague.post("/v1/jobs", line(pushed, force=True), headers=key)
    assert second.status_code == 202, second.text
    assert first.json()["id"] != second.json()["id"]


def test_saved_directions_are_used(api: Caller, pushed: Pushed) -> None:
    x, y = (
        api.create("/v1/directions", {"checkpoint": pushed.final, "kind": "random", "seed": s})[
            "id"
        ]
        for s in (11, 12)
    )
    job = api.create("/v1/jobs", surface(pushed, directions={"x": x, "y": y}))
    assert job["directions"] == {"x": x, "y": y}
    assert job["spec"]["directions"] == {"x": x, "y": y}
    told = problem(
        api.post("/v1/jobs", surface(pushed, directions={"x": x, "y": x})),
        422,
        "direction_invalid",
        "/directions/y",
    )
    assert "plane" in told["detail"]


def test_a_direction_of_another_checkpoint_needs_tensors(api: Caller, pushed: Pushed) -> None:
    elsewhere = api.create(
        "/v1/directions", {"checkpoint": pushed.first, "kind": "random", "seed": 11}
    )["id"]
    problem(
        api.post(
            "/v1/jobs",
            surface(pushed, directions={"x": elsewhere, "y": {"kind": "random", "seed": 2}}),
        ),
        422,
        "incompatible_inputs",
        "/directions/x",
    )


def test_an_object_of_both_axes_is_split_by_itself(api: Caller, pushed: Pushed) -> None:
    digest = api.put(read(MLP, "directions_filter.safetensors"))
    both = {"kind": "uploaded", "object": digest}
    job = api.create("/v1/jobs", surface(pushed, directions={"x": both, "y": both}))
    assert job["spec"]["directions"]["x"]["prefix"] == "x."
    assert job["spec"]["directions"]["y"]["prefix"] == "y."
    told = problem(
        api.post(
            "/v1/jobs",
            surface(pushed, directions={"x": {**both, "prefix": "z."}, "y": both}),
        ),
        422,
        "direction_invalid",
        "/directions/x/object",
    )
    assert "'z.'" in told["detail"]


@pytest.mark.parametrize("fill", ["missing", "shape"])
def test_uploaded_directions_that_do_not_fit(api: Caller, pushed: Pushed, fill: str) -> None:
    data = packed(a=np.zeros(3)) if fill == "missing" else packed(x=np.zeros((2, 2)))
    spec = {"kind": "uploaded", "object": api.put(data)}
    with api.nothing_changes():
        problem(
            api.post(
                "/v1/jobs",
                surface(pushed, directions={"x": {"kind": "random", "seed": 1}, "y": spec}),
            ),
            422,
            "direction_invalid",
            "/directions/y/object",
        )


def test_a_grid_that_is_too_large(api: Caller, pushed: Pushed) -> None:
    grid = {axis: {"min": -1, "max": 1, "num": 5001} for axis in "xy"}
    with api.nothing_changes():
        problem(api.post("/v1/jobs", surface(pushed, grid=grid)), 422, "grid_too_large", "/grid")


NOWHERE = "0" * 26


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"origin": f"ckp_{NOWHERE}"}, "/origin"),
        ({"datasets": [f"dst_{NOWHERE}"]}, "/datasets/0"),
        (
            {"directions": {"x": f"dir_{NOWHERE}", "y": {"kind": "random", "seed": 1}}},
            "/directions/x",
        ),
        (
            {
                "directions": {
                    "x": {"kind": "between", "target": f"ckp_{NOWHERE}"},
                    "y": {"kind": "random", "seed": 1},
                }
            },
            "/directions/x/target",
        ),
        ({"grid": {"x": AXIS}}, "/grid/y"),
        ({"colour": "red"}, "/colour"),
        ({"kind": "volcano"}, "/kind"),
        ({"tags": ["a b"]}, "/tags"),
        ({"precision": "int4"}, "/precision"),
    ],
)
def test_faults_point_at_the_field(
    api: Caller, pushed: Pushed, change: dict[str, Any], pointer: str
) -> None:
    with api.nothing_changes():
        told = problem(api.post("/v1/jobs", surface(pushed, **change)), 422, "invalid_request")
    assert any(e["pointer"].startswith(pointer) for e in told["errors"]), told


def test_lines_between_strangers(api: Caller, pushed: Pushed, other: Pushed) -> None:
    told = problem(
        api.post("/v1/jobs", line(pushed, target=other.final)),
        422,
        "incompatible_inputs",
        "/target",
    )
    assert told["misfits"] > 1
    problem(
        api.post("/v1/jobs", line(pushed, target=pushed.final)), 422, "invalid_request", "/target"
    )


def test_data_of_another_shape(api: Caller, pushed: Pushed) -> None:
    data = packed(inputs=np.zeros((4, 3, 9, 9), np.float32), targets=np.zeros(4, np.int64))
    dataset = api.create(
        "/v1/datasets", {"project": "pushed", "name": "odd", "object": api.put(data)}
    )
    with api.nothing_changes():
        told = problem(
            api.post("/v1/jobs", surface(pushed, datasets=[pushed.dataset, dataset["id"]])),
            422,
            "incompatible_inputs",
            "/datasets/1",
        )
    assert "[3, 9, 9]" in told["detail"]


def test_data_of_another_project(api: Caller, pushed: Pushed) -> None:
    dataset = api.create(
        "/v1/datasets",
        {
            "project": "elsewhere",
            "name": "digits",
            "object": api.put(read(MLP, "data.safetensors")),
        },
    )
    problem(
        api.post("/v1/jobs", surface(pushed, datasets=[dataset["id"]])),
        422,
        "incompatible_inputs",
        "/datasets/0",
    )


def test_lists_filter(api: Caller, pushed: Pushed) -> None:
    made = api.create("/v1/jobs", line(pushed, force=True, alpha={"min": 0, "max": 1, "num": 7}))
    found = api.get("/v1/jobs", model=pushed.model, kind="interpolation", state="queued").json()
    assert made["id"] in {job["id"] for job in found["items"]}
    assert api.get("/v1/jobs", project="nothing-here").json()["items"] == []
    assert all(j["kind"] == "ingest" for j in api.get("/v1/jobs", kind="ingest").json()["items"])
    problem(api.get("/v1/jobs", state="sleeping"), 422, "invalid_request")


def test_cancel_and_retry(api: Caller, pushed: Pushed) -> None:
    job = api.create("/v1/jobs", line(pushed, force=True))["id"]
    problem(api.post(f"/v1/jobs/{job}/retry"), 409, "job_not_retryable")
    cancelled = api.post(f"/v1/jobs/{job}/cancel")
    assert cancelled.status_code == 200, cancelled.text
    assert cancelled.json()["state"] == "cancelled"
    assert cancelled.json()["finished_at"]
    assert api.post(f"/v1/jobs/{job}/cancel").json() == cancelled.json()
    again = api.post(f"/v1/jobs/{job}/retry")
    assert again.status_code == 202, again.text
    assert again.json()["state"] == "queued"
    assert again.json()["attempt"] == 2


def test_who_may(api: Caller, reader: Caller, stranger: Caller, pushed: Pushed) -> None:
    problem(reader.post("/v1/jobs", surface(pushed)), 403, "forbidden")
    problem(stranger.post("/v1/jobs", surface(pushed)), 422, "invalid_request", "/origin")
    job = api.create("/v1/jobs", surface(pushed))["id"]
    assert reader.get(f"/v1/jobs/{job}").status_code == 200
    problem(stranger.get(f"/v1/jobs/{job}"), 404, "not_found")
    problem(stranger.get(f"/v1/jobs/{job}/events"), 404, "not_found")
    problem(stranger.post(f"/v1/jobs/{job}/cancel"), 404, "not_found")
    problem(reader.post(f"/v1/jobs/{job}/cancel"), 403, "forbidden")
    problem(reader.post(f"/v1/jobs/{job}/retry"), 403, "forbidden")


def test_nothing_to_show_before_the_plan(api: Caller, pushed: Pushed) -> None:
    job = api.create("/v1/jobs", surface(pushed, force=True))["id"]
    told = problem(api.get(f"/v1/jobs/{job}/partial.json"), 409, "conflict")
    assert told["retryable"] is True
    problem(api.get(f"/v1/jobs/{job}/partial.png"), 409, "conflict")


def test_events_as_json(api: Caller, pushed: Pushed) -> None:
    job = api.create("/v1/jobs", surface(pushed, force=True))["id"]
    api.post(f"/v1/jobs/{job}/cancel")
    answer = api.get(f"/v1/jobs/{job}/events")
    events = answer.json()["items"]
    assert events[0]["type"] == "queued"
    assert [e["id"] for e in events] == sorted(e["id"] for e in events)
    later = api.http.get(
        f"/v1/jobs/{job}/events", headers={"Last-Event-ID": str(events[0]["id"])}
    ).json()["items"]
    assert later == events[1:]
