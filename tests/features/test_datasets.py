"""Data sets over HTTP: layout, lengths and values judged before a row is written."""

from __future__ import annotations

import numpy as np
import pytest

from tests.features.caller import Caller, problem
from tests.features.reference import MLP, packed, read

X = np.zeros((4, 1, 8, 8), dtype=np.float32)
T = np.array([0, 1, 2, 9], dtype=np.int64)


def body(object_: str, **changes: object) -> dict[str, object]:
    return {"project": "data", "name": "digits", "object": object_, "split": "train", **changes}


def test_samples_shapes_and_range_are_recorded(api: Caller) -> None:
    answer = api.post("/v1/datasets", body(api.put(read(MLP, "data.safetensors"))))
    assert answer.status_code == 201, answer.text
    dataset = answer.json()
    assert dataset["samples"] == 1200
    assert dataset["inputs"] == {"inputs": {"dtype": "float32", "shape": [1, 8, 8]}}
    assert dataset["targets"] == {"dtype": "int64", "shape": [], "min": 0, "max": 9}
    assert dataset["split"] == "train"
    assert api.get(f"/v1/datasets/{dataset['id']}").json() == dataset
    listed = api.get("/v1/datasets", project="data", name="digits", split="train").json()["items"]
    assert dataset in listed
    assert api.get("/v1/datasets", project="data", split="test").json()["items"] == []


def test_ignored_positions_are_no_class(api: Caller) -> None:
    targets = np.array([-100, 3, 5, -100], dtype=np.int64)
    dataset = api.create("/v1/datasets", body(api.put(packed(inputs=X, targets=targets))))
    assert (dataset["targets"]["min"], dataset["targets"]["max"]) == (3, 5)


def test_several_inputs(api: Caller) -> None:
    ids = np.zeros((4, 16), dtype=np.int64)
    dataset = api.create(
        "/v1/datasets",
        body(api.put(packed(inputs__ids=ids, inputs__mask=ids, targets=X[:, 0, 0, 0]))),
    )
    assert set(dataset["inputs"]) == {"ids", "mask"}
    assert dataset["targets"] == {"dtype": "float32", "shape": [], "min": None, "max": None}


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (packed(inputs=X[:0], targets=T[:0]), "no samples"),
        (packed(inputs=X[:1], targets=T[:0]), "differ"),
        (packed(inputs=X, targets=T[:3]), "differ"),
        (packed(inputs=X), "no `targets`"),
        (packed(targets=T), "no `inputs`"),
        (packed(inputs=X, targets=T, extra=T), "'extra'"),
        (packed(inputs=np.where(X == 0, np.float32(np.nan), X), targets=T), "not finite"),
        (packed(inputs=X, targets=np.array([0, 1, np.inf, 0])), "not finite"),
    ],
)
def test_data_that_is_not_usable(api: Caller, data: bytes, said: str) -> None:
    digest = api.put(data)
    with api.nothing_changes():
        told = problem(api.post("/v1/datasets", body(digest)), 422, "dataset_invalid", "/object")
    assert said in told["detail"]


def test_no_safetensors(api: Caller) -> None:
    digest = api.put(b"PK\x03\x04 an npz, perhaps")
    problem(api.post("/v1/datasets", body(digest)), 422, "object_invalid", "/object")


def test_a_type_that_nothing_computes_with(api: Caller) -> None:
    data = packed(inputs=np.zeros((4, 2), dtype=np.uint64), targets=T)
    told = problem(api.post("/v1/datasets", body(api.put(data))), 422, "object_invalid", "/object")
    assert "U64" in told["detail"]


def test_not_uploaded_and_not_allowed(api: Caller, reader: Caller, stranger: Caller) -> None:
    problem(api.post("/v1/datasets", body("sha256:" + "4" * 64)), 422, "object_missing", "/object")
    digest = api.put(packed(inputs=X, targets=T))
    problem(reader.post("/v1/datasets", body(digest)), 403, "forbidden")
    dataset = api.create("/v1/datasets", body(digest))
    problem(stranger.get(f"/v1/datasets/{dataset['id']}"), 404, "not_found")
