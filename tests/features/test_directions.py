"""Directions over HTTP: recorded once, judged against the model, handed out when they exist."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load

from tests.features.caller import Caller, problem
from tests.features.pushed import Pushed
from tests.features.reference import CONVNET, MLP, changed, packed, read


def random(pushed: Pushed, **changes: Any) -> dict[str, Any]:
    return {"checkpoint": pushed.final, "kind": "random", "seed": 1, **changes}


def uploaded(api: Caller, pushed: Pushed, data: bytes, **changes: Any) -> dict[str, Any]:
    return {
        "checkpoint": pushed.final,
        "kind": "uploaded",
        "object": api.put(data),
        **changes,
    }


def test_defaults_are_filled_in(api: Caller, pushed: Pushed) -> None:
    # a seed of this test's own: other files' directions of the same checkpoint may be recorded
    answer = api.post("/v1/directions", random(pushed, seed=29))
    assert answer.status_code == 201, answer.text
    direction = answer.json()
    assert direction["spec"] == {
        "kind": "random",
        "seed": 29,
        "normalize": "filter",
        "ignore": ["bias", "norm"],
        "convention": "lossatlas",
        "axis": "x",
    }
    assert direction["checkpoint"] == pushed.final
    assert direction["model"] == pushed.model
    assert direction["materialised"] is False
    assert api.get(f"/v1/directions/{direction['id']}").json() == direction


def test_the_same_direction_is_recorded_once(api: Caller, pushed: Pushed) -> None:
    first = api.create("/v1/directions", random(pushed, seed=77, ignore=["norm", "bias"]))
    again = api.create("/v1/directions", random(pushed, seed=77, ignore=["bias", "norm"]))
    other = api.create("/v1/directions", random(pushed, seed=77, axis="y"))
    assert again["id"] == first["id"]
    assert other["id"] != first["id"]
    listed = api.get("/v1/directions", checkpoint=pushed.final, limit=200).json()["items"]
    assert {first["id"], other["id"]} <= {d["id"] for d in listed}


def test_tensors_do_not_exist_before_a_job_makes_them(api: Caller, pushed: Pushed) -> None:
    direction = api.create("/v1/directions", random(pushed, seed=5))
    told = problem(api.get(f"/v1/directions/{direction['id']}/tensors"), 409, "conflict")
    assert told["retryable"] is True


def test_an_object_of_both_axes_needs_a_prefix(api: Caller, pushed: Pushed) -> None:
    data = read(MLP, "directions_filter.safetensors")
    asked = uploaded(api, pushed, data)
    with api.nothing_changes():
        told = problem(api.post("/v1/directions", asked), 422, "direction_invalid", "/object")
    assert '"prefix": "x."' in told["detail"]
    made = api.create("/v1/directions", {**asked, "prefix": "y."})
    assert made["spec"]["prefix"] == "y."


def test_misfits_are_named(api: Caller, pushed: Pushed) -> None:
    data = read(CONVNET, "directions_filter.safetensors")
    told = problem(
        api.post("/v1/directions", uploaded(api, pushed, data, prefix="x.")),
        422,
        "direction_invalid",
        "/object",
    )
    assert told["misfits"] > 1
    told = problem(
        api.post("/v1/directions", uploaded(api, pushed, packed(a=np.zeros(3)))),
        422,
        "direction_invalid",
        "/object",
    )
    assert "missing" in told["detail"]


def test_nan_is_named(api: Caller, pushed: Pushed) -> None:
    data = read(MLP, "directions_filter.safetensors")
    name = next(n for n in load(data) if n.startswith("y."))
    spoilt = changed(MLP, "directions_filter.safetensors", lambda t: t[name].fill(np.nan))
    asked = uploaded(api, pushed, spoilt, prefix="y.")
    told = problem(api.post("/v1/directions", asked), 422, "direction_invalid", "/object")
    assert name in told["detail"]
    assert api.post("/v1/directions", {**asked, "prefix": "x."}).status_code == 201


def test_between(api: Caller, pushed: Pushed, other: Pushed) -> None:
    asked = {"checkpoint": pushed.final, "kind": "between", "target": pushed.first}
    assert api.create("/v1/directions", asked)["spec"]["target"] == pushed.first
    problem(
        api.post("/v1/directions", {**asked, "target": pushed.final}),
        422,
        "direction_invalid",
        "/target",
    )
    told = problem(
        api.post("/v1/directions", {**asked, "target": other.final}),
        422,
        "incompatible_inputs",
        "/target",
    )
    assert told["misfits"] > 1
    problem(
        api.post("/v1/directions", {**asked, "target": "ckp_" + "0" * 26}),
        422,
        "invalid_request",
        "/target",
    )


@pytest.mark.parametrize("kind", ["gradient", "eigenvector"])
def test_over_data(api: Caller, pushed: Pushed, other: Pushed, kind: str) -> None:
    asked = {"checkpoint": pushed.final, "kind": kind, "dataset": pushed.dataset}
    made = api.create("/v1/directions", asked)
    assert made["spec"]["dataset"] == pushed.dataset
    assert made["materialised"] is False
    assert api.create("/v1/directions", asked)["id"] == made["id"]
    with api.nothing_changes():
        without = {key: asked[key] for key in ("checkpoint", "kind")}
        problem(api.post("/v1/directions", without), 422, "invalid_request", "/dataset")
        unknown = {**asked, "dataset": "dst_" + "0" * 26}
        problem(api.post("/v1/directions", unknown), 422, "invalid_request", "/dataset")
    # a job that lacks the data cannot make it
    elsewhere = {
        "kind": "line",
        "origin": pushed.final,
        "direction": made["id"],
        "datasets": [
            api.create(
                "/v1/datasets",
                {
                    "project": "pushed",
                    "name": "other data",
                    "object": api.put(read(MLP, "data.safetensors")),
                },
            )["id"]
        ],
    }
    problem(api.post("/v1/jobs", elsewhere), 422, "incompatible_inputs", "/direction/dataset")
    job = api.create("/v1/jobs", {**elsewhere, "datasets": [pushed.dataset]})
    assert job["directions"] == {"line0": made["id"]}
    assert job["spec"]["direction"] == made["id"]


def test_components_are_not_asked_for_here(api: Caller, pushed: Pushed) -> None:
    asked = {"checkpoint": pushed.final, "kind": "pca", "checkpoints": [pushed.final] * 3}
    problem(api.post("/v1/directions", asked), 422, "invalid_request", "/kind")


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"seed": -1}, "/seed"),
        ({"kind": "eigen"}, "/kind"),
        ({"normalize": "batch"}, "/normalize"),
        ({"checkpoint": "ckp_" + "0" * 26}, "/checkpoint"),
        ({"checkpoint": "nonsense"}, "/checkpoint"),
        ({"colour": 1}, "/colour"),
    ],
)
def test_fields_that_are_wrong(
    api: Caller, pushed: Pushed, change: dict[str, Any], pointer: str
) -> None:
    with api.nothing_changes():
        problem(
            api.post("/v1/directions", random(pushed, **change)), 422, "invalid_request", pointer
        )


def test_who_may(api: Caller, reader: Caller, stranger: Caller, pushed: Pushed) -> None:
    problem(reader.post("/v1/directions", random(pushed)), 403, "forbidden")
    problem(stranger.post("/v1/directions", random(pushed)), 422, "invalid_request", "/checkpoint")
    direction = api.create("/v1/directions", random(pushed))
    problem(stranger.get(f"/v1/directions/{direction['id']}"), 404, "not_found")
    problem(stranger.get(f"/v1/directions/{direction['id']}/tensors"), 404, "not_found")
