"""Trajectories, curvature and directions taken over data, as submitted: resolved and judged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import nn

from tests.features.caller import Caller, problem
from tests.features.pushed import Pushed, push
from tests.features.reference import MLP, read
from tests.program_binding.exported import save


@pytest.fixture(scope="module")
def run(api: Caller) -> Pushed:
    """A model with five checkpoints, in a project of its own."""
    pushed = push(api, MLP, "pushed")
    for step in (3, 6, 9):
        weights = api.put(read(MLP, f"checkpoint_{step:02d}.safetensors"))
        api.create(f"/v1/models/{pushed.model}/checkpoints", {"weights": weights, "step": step})
    return pushed


def trajectory(pushed: Pushed, **changes: Any) -> dict[str, Any]:
    return {
        "kind": "trajectory",
        "model": pushed.model,
        "datasets": [pushed.dataset],
        "surface": {"num": 5},
        "force": True,
        **changes,
    }


def curvature(pushed: Pushed, **changes: Any) -> dict[str, Any]:
    return {
        "kind": "curvature",
        "origin": pushed.final,
        "datasets": [pushed.dataset],
        "force": True,
        **changes,
    }


def ids(api: Caller, pushed: Pushed) -> list[str]:
    items = api.get(f"/v1/models/{pushed.model}/checkpoints", limit=200).json()["items"]
    return [item["id"] for item in items]


def test_all_checkpoints_are_named_in_what_is_recorded(api: Caller, run: Pushed) -> None:
    job = api.create("/v1/jobs", trajectory(run))
    known = ids(api, run)
    assert job["spec"]["checkpoints"] == known
    assert job["progress"]["total"] == 25
    for axis, component in (("x", 1), ("y", 2)):
        direction = api.get(f"/v1/directions/{job['directions'][axis]}").json()
        assert direction["spec"]["kind"] == "pca"
        assert direction["spec"]["component"] == component
        assert direction["spec"]["checkpoints"] == known
        assert direction["checkpoint"] == known[-1]


def test_several_runs_share_a_plane(api: Caller, run: Pushed, pushed: Pushed) -> None:
    known = ids(api, run)
    asked = trajectory(
        run,
        checkpoints=known[:3],
        runs=[{"model": pushed.model, "label": "the other"}],
    )
    job = api.create("/v1/jobs", asked)
    assert job["spec"]["runs"][0]["checkpoints"] == ids(api, pushed)
    assert job["spec"]["runs"][0]["label"] == "the other"
    again = api.create("/v1/jobs", {**asked, "force": False})
    once_more = api.create("/v1/jobs", {**asked, "force": False, "checkpoints": known[1:4]})
    assert again["id"] != once_more["id"]


@pytest.mark.parametrize(
    ("change", "code", "pointer"),
    [
        ({"model": "mdl_" + "0" * 26}, "invalid_request", "/model"),
        ({"checkpoints": []}, "invalid_request", "/checkpoints"),
        ({"center": "median"}, "invalid_request", "/center"),
        ({"surface": {"num": 1}}, "invalid_request", "/surface/num"),
        ({"surface": {"num": 9000}}, "grid_too_large", "/surface/num"),
        ({"random_planes": 1000}, "invalid_request", "/random_planes"),
    ],
)
def test_faults_of_a_trajectory(
    api: Caller, run: Pushed, change: dict[str, Any], code: str, pointer: str
) -> None:
    with api.nothing_changes():
        problem(api.post("/v1/jobs", trajectory(run, **change)), 422, code, pointer)


def test_paths_that_do_not_belong_together(api: Caller, run: Pushed, other: Pushed) -> None:
    foreign = trajectory(run, checkpoints=[run.first, run.final, other.final])
    problem(api.post("/v1/jobs", foreign), 422, "incompatible_inputs", "/checkpoints/2")
    strangers = trajectory(run, runs=[{"model": other.model}])
    problem(api.post("/v1/jobs", strangers), 422, "incompatible_inputs", "/runs/0/model")
    short = trajectory(run, checkpoints=[run.first, run.final])
    problem(api.post("/v1/jobs", short), 422, "invalid_request", "/checkpoints")


def test_curvature_records_what_it_looks_along(api: Caller, run: Pushed) -> None:
    along = [{"kind": "random", "seed": 3}, {"kind": "gradient"}]
    job = api.create("/v1/jobs", curvature(run, along=along, trace={"method": "xtrace"}))
    assert set(job["directions"]) == {"along0", "along1"}
    assert job["spec"]["along"][1]["dataset"] == run.dataset
    assert job["progress"]["total"] == 1
    plane = {
        "x": {"kind": "random", "seed": 1},
        "y": {"kind": "eigenvector", "which": "smallest"},
    }
    axis = {"min": -1, "max": 1, "num": 3}
    mapped = api.create(
        "/v1/jobs", curvature(run, map={"directions": plane, "grid": {"x": axis, "y": axis}})
    )
    assert set(mapped["directions"]) == {"x", "y"}
    assert mapped["spec"]["map"]["directions"]["y"]["dataset"] == run.dataset
    assert mapped["progress"]["total"] == 9


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"precision": "bf16"}, "/precision"),
        ({"buffers": "interpolate"}, "/buffers"),
        ({"largest": -1}, "/largest"),
        ({"trace": {"method": "guess"}}, "/trace/method"),
        ({"density": {"probes": 0}}, "/density/probes"),
        ({"along": [{"kind": "between", "target": "ckp_" + "0" * 26}]}, "/along/0/target"),
    ],
)
def test_faults_of_curvature(
    api: Caller, run: Pushed, change: dict[str, Any], pointer: str
) -> None:
    with api.nothing_changes():
        problem(api.post("/v1/jobs", curvature(run, **change)), 422, "invalid_request", pointer)


def test_no_more_eigenvalues_than_parameters(api: Caller, tmp_path: Path) -> None:
    module = nn.Linear(3, 2)
    program = save(module, (torch.ones(2, 3),), tmp_path / "small.pt2")
    model = api.create(
        "/v1/models",
        {"project": "small", "name": "small", "program": api.put(program.read_bytes())},
    )["id"]
    weights = {name: tensor.detach() for name, tensor in module.named_parameters()}
    checkpoint = api.create(
        f"/v1/models/{model}/checkpoints", {"weights": api.put(safetensors.torch.save(weights))}
    )["id"]
    data = {"inputs": torch.ones(5, 3), "targets": torch.zeros(5, dtype=torch.int64)}
    dataset = api.create(
        "/v1/datasets",
        {"project": "small", "name": "d", "object": api.put(safetensors.torch.save(data))},
    )["id"]
    asked = {"kind": "curvature", "origin": checkpoint, "datasets": [dataset]}
    with api.nothing_changes():
        for change, pointer in (
            ({"largest": 9}, "/largest"),
            ({"smallest": 9}, "/smallest"),
            ({"largest": 7, "exclude": ["bias"]}, "/largest"),
        ):
            answer = api.post("/v1/jobs", asked | change)
            problem(answer, 422, "incompatible_inputs", pointer)
    assert api.post("/v1/jobs", {**asked, "largest": 8, "smallest": 8}).status_code == 202


def test_a_direction_over_data_that_the_job_lacks(api: Caller, run: Pushed) -> None:
    more = api.create(
        "/v1/datasets",
        {"project": "pushed", "name": "more", "object": api.put(read(MLP, "data.safetensors"))},
    )["id"]
    asked = curvature(run, along=[{"kind": "gradient", "dataset": more}])
    problem(api.post("/v1/jobs", asked), 422, "incompatible_inputs", "/along/0/dataset")
    assert api.post("/v1/jobs", {**asked, "datasets": [run.dataset, more]}).status_code == 202
