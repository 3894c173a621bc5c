"""Every bad input that a careless pipeline sends: a problem that names the field and the fix.

Runs against a whole live service; that nothing is left behind is counted in the database and
the store, before and after.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from typing import Any

import httpx2
import numpy as np
import pytest
from safetensors.numpy import load, save

from tests.support.live import Api, Live
from tests.support.reference import ROOT, Pushed, push

FOLDER = ROOT / "digits_mlp"
FINAL = FOLDER / "checkpoint_12.safetensors"


@pytest.fixture(scope="module")
def pushed(live_api: Api) -> Pushed:
    return push(live_api, "digits_mlp", project="bad-inputs")


@pytest.fixture(scope="module")
def other(live_api: Api) -> Pushed:
    return push(live_api, "digits_convnet", project="bad-inputs")


def problem(answer: httpx2.Response, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].startswith("application/problem+json")
    body: dict[str, Any] = answer.json()
    assert body["code"] == code, body
    assert body["status"] == status
    assert body["detail"]
    assert body["request_id"]
    assert "Traceback" not in answer.text
    return body


def pointers(body: dict[str, Any]) -> set[str]:
    return {error["pointer"] for error in body["errors"]}


def weights(change: Callable[[dict[str, np.ndarray]], None]) -> bytes:
    tensors = load(FINAL.read_bytes())
    change(tensors)
    return save(tensors)


def post_weights(api: Api, pushed: Pushed, data: bytes) -> httpx2.Response:
    digest = api.put_object(data)
    return api.post(f"/v1/models/{pushed.model}/checkpoints", {"weights": digest})


def test_unknown_and_missing_tensor_names(live_api: Api, pushed: Pushed) -> None:
    def rename(tensors: dict[str, np.ndarray]) -> None:
        tensors["typo.weight"] = tensors.pop(sorted(tensors)[0])

    missing = sorted(load(FINAL.read_bytes()))[0]
    body = problem(post_weights(live_api, pushed, weights(rename)), 422, "weights_invalid")
    told = json.dumps(body)
    assert "typo.weight" in told
    assert missing in told
    assert any(p.startswith("/weights") for p in pointers(body))


def test_wrong_shapes(live_api: Api, pushed: Pushed) -> None:
    def reshape(tensors: dict[str, np.ndarray]) -> None:
        name = next(n for n in sorted(tensors) if tensors[n].ndim == 2)
        tensors[name] = np.ascontiguousarray(tensors[name].T)

    body = problem(post_weights(live_api, pushed, weights(reshape)), 422, "weights_invalid")
    assert "shape" in json.dumps(body)


def test_nan_in_weights(live_api: Api, pushed: Pushed) -> None:
    def spoil(tensors: dict[str, np.ndarray]) -> None:
        name = sorted(tensors)[-1]
        tensors[name] = tensors[name].copy()
        tensors[name].flat[3] = np.nan

    body = problem(post_weights(live_api, pushed, weights(spoil)), 422, "weights_invalid")
    assert sorted(load(FINAL.read_bytes()))[-1] in json.dumps(body)


def test_checkpoint_of_another_model(live_api: Api, pushed: Pushed, other: Pushed) -> None:
    data = (ROOT / "digits_convnet" / "checkpoint_08.safetensors").read_bytes()
    problem(post_weights(live_api, pushed, data), 422, "weights_invalid")
    # a line leads through two sets of weights of one network
    spec = {
        "kind": "interpolation",
        "origin": pushed.final,
        "target": other.final,
        "alpha": {"min": 0, "max": 1, "num": 3},
        "datasets": [pushed.dataset],
    }
    body = problem(live_api.post("/v1/jobs", spec), 422, "incompatible_inputs")
    assert "/target" in pointers(body)


def test_truncated_safetensors(live_api: Api, pushed: Pushed) -> None:
    problem(post_weights(live_api, pushed, FINAL.read_bytes()[:-100]), 422, "object_invalid")


def test_header_that_lies(live_api: Api, pushed: Pushed) -> None:
    header = b'{"a":{"dtype":"F32","shape":[9],"data_offsets":[0,9999999]}}'
    data = struct.pack("<Q", len(header)) + header + b"\0" * 36
    problem(post_weights(live_api, pushed, data), 422, "object_invalid")


@pytest.mark.parametrize("count", [0, 1])
def test_empty_data_and_uneven_data(live_api: Api, pushed: Pushed, count: int) -> None:
    inputs = np.zeros((count, 1, 8, 8), dtype=np.float32)
    targets = np.zeros((0,), dtype=np.int64)
    digest = live_api.put_object(save({"inputs": inputs, "targets": targets}))
    answer = live_api.post(
        "/v1/datasets", {"project": "bad-inputs", "name": "empty", "object": digest}
    )
    body = problem(answer, 422, "dataset_invalid")
    assert "/object" in pointers(body)


def test_targets_out_of_range(live_api: Api, pushed: Pushed) -> None:
    inputs = np.zeros((4, 1, 8, 8), dtype=np.float32)
    targets = np.array([0, 1, 2, 10], dtype=np.int64)
    digest = live_api.put_object(save({"inputs": inputs, "targets": targets}))
    dataset = live_api.create(
        "/v1/datasets", {"project": "bad-inputs", "name": "eleven", "object": digest}
    )
    answer = live_api.post("/v1/jobs", surface(pushed, datasets=[dataset["id"]]))
    if answer.status_code == 422:
        told = problem(answer, 422, "targets_invalid")
    else:
        # known only once the program has run: then the job fails, with the same code
        done = live_api.finish(answer.json()["id"])
        assert done["state"] == "failed"
        told = done["error"]
        assert told["code"] == "targets_invalid"
    assert "10" in json.dumps(told)


def test_inputs_of_another_shape(live_api: Api, pushed: Pushed) -> None:
    inputs = np.zeros((4, 3, 9, 9), dtype=np.float32)
    targets = np.zeros(4, dtype=np.int64)
    digest = live_api.put_object(save({"inputs": inputs, "targets": targets}))
    dataset = live_api.create(
        "/v1/datasets", {"project": "bad-inputs", "name": "odd", "object": digest}
    )
    answer = live_api.post("/v1/jobs", surface(pushed, datasets=[dataset["id"]]))
    body = problem(answer, 422, "incompatible_inputs")
    assert "/datasets/0" in pointers(body)


def test_oversize_grid(live_api: Api, pushed: Pushed) -> None:
    grid = {axis: {"min": -1, "max": 1, "num": 5001} for axis in "xy"}
    body = problem(live_api.post("/v1/jobs", surface(pushed, grid=grid)), 422, "grid_too_large")
    assert "/grid" in pointers(body)


def test_wrong_digest_and_truncated_upload(live_api: Api) -> None:
    digest = "sha256:" + "0" * 64
    answer = live_api.http.put(f"/v1/objects/{digest}", content=b"something else")
    problem(answer, 422, "digest_mismatch")
    assert live_api.http.head(f"/v1/objects/{digest}").status_code == 404
    problem(live_api.http.put("/v1/objects/sha256:xyz", content=b"a"), 422, "invalid_request")


def test_missing_objects_and_ids(live_api: Api, pushed: Pushed) -> None:
    nowhere = "sha256:" + "1" * 64
    answer = live_api.post(
        "/v1/models",
        {"project": "bad-inputs", "name": "m", "program": nowhere, "loss": "cross_entropy"},
    )
    assert "/program" in pointers(problem(answer, 422, "object_missing"))
    problem(live_api.get("/v1/models/mdl_" + "0" * 26), 404, "not_found")
    problem(live_api.get("/v1/models/not-an-id"), 422, "invalid_request")


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"grid": {"x": {"min": 1, "max": 0, "num": 3}}}, "/grid"),
        ({"grid": {"x": {"min": 0, "max": 1, "num": 3}, "y": "wide"}}, "/grid/y"),
        ({"datasets": []}, "/datasets"),
        ({"directions": {"x": {"kind": "random", "seed": -1}, "y": {"kind": "random"}}}, "/dir"),
        ({"colour": "red"}, "/colour"),
        ({"kind": "volcano"}, "/kind"),
    ],
)
def test_faults_in_a_job_point_at_the_field(
    live_api: Api, pushed: Pushed, change: dict[str, Any], pointer: str
) -> None:
    body = problem(live_api.post("/v1/jobs", surface(pushed, **change)), 422, "invalid_request")
    assert any(p.startswith(pointer) for p in pointers(body)), body["errors"]


@pytest.mark.parametrize("text", ["{", "[1,]", '{"kind": NaN}', "\xff\xfe"])
def test_text_that_is_no_json(live_api: Api, text: str) -> None:
    answer = live_api.http.post(
        "/v1/jobs",
        content=text.encode("latin-1"),
        headers={"Content-Type": "application/json"},
    )
    problem(answer, 400, "malformed_json")


def test_program_that_is_no_program(live_api: Api) -> None:
    digest = live_api.put_object(b"this is not an archive")
    answer = live_api.post(
        "/v1/models",
        {"project": "bad-inputs", "name": "m", "program": digest, "loss": "cross_entropy"},
    )
    assert "/program" in pointers(problem(answer, 422, "program_refused"))


def test_program_with_a_forbidden_operator(live_api: Api) -> None:
    import io
    import zipfile

    source = zipfile.ZipFile(FOLDER / "program.pt2")
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for info in source.infolist():
            data = source.read(info)
            if info.filename.endswith("models/model.json"):
                data = data.replace(
                    b"torch.ops.aten.tanh.default", b"torch.ops.aten.from_file.default"
                )
            archive.writestr(info.filename, data)
    digest = live_api.put_object(out.getvalue())
    answer = live_api.post(
        "/v1/models",
        {"project": "bad-inputs", "name": "m", "program": digest, "loss": "cross_entropy"},
    )
    body = problem(answer, 422, "program_refused")
    assert "from_file" in json.dumps(body)


def test_no_key_and_a_wrong_key(live_api: Api) -> None:
    answer = httpx2.get(f"{live_api.url}/v1/models")
    problem(answer, 401, "unauthenticated")
    answer = httpx2.get(f"{live_api.url}/v1/models", headers={"Authorization": "Bearer la_wrong"})
    problem(answer, 401, "unauthenticated")


def test_nothing_is_left_behind(live_api: Api, live: Live, pushed: Pushed) -> None:
    before = counts(live_api)
    problem(live_api.post("/v1/jobs", surface(pushed, datasets=[])), 422, "invalid_request")
    spoiled = weights(lambda t: t[sorted(t)[0]].fill(np.nan))
    problem(post_weights(live_api, pushed, spoiled), 422, "weights_invalid")
    digest = "sha256:" + "2" * 64
    live_api.http.put(f"/v1/objects/{digest}", content=b"not these bytes")
    assert counts(live_api) == before
    assert not list((live.folder / "spool").glob("*")) if (live.folder / "spool").exists() else True


def counts(api: Api) -> dict[str, int]:
    """Everything of the project that lists can see."""
    found = {}
    for path in ("models", "datasets", "jobs", "landscapes", "directions"):
        items = api.get(f"/v1/{path}", project="bad-inputs", limit=200).json()["items"]
        found[path] = len(items)
    models = api.get("/v1/models", project="bad-inputs", limit=200).json()["items"]
    found["checkpoints"] = sum(
        len(api.get(f"/v1/models/{m['id']}/checkpoints", limit=200).json()["items"]) for m in models
    )
    return found


def surface(pushed: Pushed, **change: Any) -> dict[str, Any]:
    spec = {
        "kind": "surface",
        "origin": pushed.final,
        "directions": {"x": {"kind": "random", "seed": 1}, "y": {"kind": "random", "seed": 2}},
        "grid": {axis: {"min": -1, "max": 1, "num": 3} for axis in "xy"},
        "datasets": [pushed.dataset],
    }
    return {**spec, **change}
