"""Checkpoints over HTTP: weights held against the program, each misfit named."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest

from tests.features.caller import Caller, problem
from tests.features.reference import CONVNET, MLP, Tensors, changed, read

FINAL = "checkpoint_12.safetensors"


def post(api: Caller, model: str, data: bytes, **more: Any) -> Any:
    return api.post(f"/v1/models/{model}/checkpoints", {"weights": api.put(data), **more})


def refused(api: Caller, model: str, data: bytes) -> dict[str, Any]:
    digest = api.put(data)
    with api.nothing_changes():
        return problem(
            api.post(f"/v1/models/{model}/checkpoints", {"weights": digest}),
            422,
            "weights_invalid",
            "/weights",
        )


def test_checkpoints_are_kept_in_order(api: Caller, mlp: str) -> None:
    made = []
    for step in range(3):
        answer = post(
            api,
            mlp,
            read(MLP, f"checkpoint_{step:02d}.safetensors"),
            step=step,
            epoch=step / 2,
            label=f"epoch {step}",
            metrics={"test/accuracy": 0.5},
            learning_rate=0.1,
        )
        assert answer.status_code == 201, answer.text
        made.append(answer.json())
    assert [c["seq"] for c in made] == [made[0]["seq"] + i for i in range(3)]
    assert made[0]["metrics"] == {"test/accuracy": 0.5}
    assert made[1]["epoch"] == 0.5
    listed = api.get(f"/v1/models/{mlp}/checkpoints", limit=200).json()["items"]
    assert [c["id"] for c in listed][-3:] == [c["id"] for c in made]
    assert api.get(f"/v1/checkpoints/{made[2]['id']}").json() == made[2]
    page = api.get(f"/v1/models/{mlp}/checkpoints", limit=1)
    assert page.json()["next_cursor"]


def test_every_floating_type_will_do(api: Caller, mlp: str) -> None:
    def halve(tensors: Tensors) -> None:
        for name in tensors:
            tensors[name] = tensors[name].astype(np.float16)

    assert post(api, mlp, changed(MLP, FINAL, halve)).status_code == 201


def test_missing_and_unknown_tensors_are_named(api: Caller, mlp: str) -> None:
    first = sorted(dict(_loaded()))[0]
    told = refused(api, mlp, changed(MLP, FINAL, lambda t: t.update({"typo.weight": t.pop(first)})))
    details = [error["detail"] for error in told["errors"]]
    assert any(first in d and "missing" in d for d in details)
    assert any("typo.weight" in d for d in details)
    assert told["misfits"] == 2


def test_wrong_shapes_are_named(api: Caller, mlp: str) -> None:
    name = next(n for n, t in _loaded().items() if t.ndim == 2)
    told = refused(
        api, mlp, changed(MLP, FINAL, lambda t: t.update({name: np.ascontiguousarray(t[name].T)}))
    )
    assert "shape" in told["detail"]
    assert name in told["detail"]


def test_wrong_types_are_named(api: Caller, mlp: str) -> None:
    name = sorted(_loaded())[0]
    told = refused(
        api, mlp, changed(MLP, FINAL, lambda t: t.update({name: t[name].astype(np.int64)}))
    )
    assert "int64" in told["detail"]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
def test_values_that_are_no_numbers(api: Caller, mlp: str, value: float, dtype: Any) -> None:
    name = sorted(_loaded())[-1]

    def spoil(tensors: Tensors) -> None:
        tensors[name] = tensors[name].astype(dtype)
        tensors[name].flat[-1] = value

    told = refused(api, mlp, changed(MLP, FINAL, spoil))
    assert name in told["detail"]
    assert "not finite" in told["detail"]


def test_nan_in_bfloat16_is_seen(api: Caller, mlp: str) -> None:
    tensors = {n: _bfloat16(t) for n, t in _loaded().items()}
    assert post(api, mlp, _pack(tensors)).status_code == 201
    name = sorted(tensors)[0]
    shape, data = tensors[name]
    tensors[name] = (shape, b"\xc0\x7f" + data[2:])
    assert name in refused(api, mlp, _pack(tensors))["detail"]


def test_another_models_weights_look_like_it(api: Caller, mlp: str) -> None:
    told = refused(api, mlp, read(CONVNET, "checkpoint_08.safetensors"))
    assert told["misfits"] > 4


def test_the_batch_counter_may_be_missing(api: Caller, convnet: str) -> None:
    def drop(tensors: Tensors) -> None:
        for name in [n for n in tensors if n.endswith("num_batches_tracked")]:
            del tensors[name]

    data = changed(CONVNET, "checkpoint_08.safetensors", drop)
    assert post(api, convnet, data).status_code == 201


def test_a_missing_running_mean_is_not_forgiven(api: Caller, convnet: str) -> None:
    def drop(tensors: Tensors) -> None:
        del tensors[next(n for n in tensors if n.endswith("running_mean"))]

    assert (
        "running_mean"
        in refused(api, convnet, changed(CONVNET, "checkpoint_08.safetensors", drop))["detail"]
    )


def test_a_wrapper_prefix_is_recognised(api: Caller, mlp: str) -> None:
    def wrap(tensors: Tensors) -> None:
        for name in list(tensors):
            tensors[f"module.{name}"] = tensors.pop(name)

    assert "'module.'" in refused(api, mlp, changed(MLP, FINAL, wrap))["detail"]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"short",
        b"\xff" * 64,
        read(MLP, FINAL)[:-100],
        read(MLP, FINAL) + b"\0" * 8,
        struct.pack("<Q", 2) + b"{}" + b"\0",
        (lambda h: struct.pack("<Q", len(h)) + h + b"\0" * 36)(
            b'{"a":{"dtype":"F32","shape":[9],"data_offsets":[0,9999999]}}'
        ),
        (lambda h: struct.pack("<Q", len(h)) + h)(b"[" * 5000),
    ],
    ids=["empty", "short", "noise", "truncated", "trailing", "unused", "lies", "deep"],
)
def test_files_that_are_no_safetensors(api: Caller, mlp: str, data: bytes) -> None:
    digest = api.put(data)
    with api.nothing_changes():
        problem(
            api.post(f"/v1/models/{mlp}/checkpoints", {"weights": digest}),
            422,
            "object_invalid",
            "/weights",
        )


def test_weights_that_were_not_uploaded(api: Caller, mlp: str) -> None:
    asked = {"weights": "sha256:" + "3" * 64}
    problem(api.post(f"/v1/models/{mlp}/checkpoints", asked), 422, "object_missing", "/weights")


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"step": -1}, "/step"),
        ({"step": 2**63}, "/step"),
        ({"learning_rate": -0.1}, "/learning_rate"),
        ({"metrics": {"loss": "low"}}, "/metrics/loss"),
        ({"label": "\u0001"}, "/label"),
        ({"weights": 5}, "/weights"),
    ],
)
def test_fields_that_are_wrong(api: Caller, mlp: str, change: dict[str, Any], pointer: str) -> None:
    asked = {"weights": "sha256:" + "3" * 64, **change}
    problem(api.post(f"/v1/models/{mlp}/checkpoints", asked), 422, "invalid_request", pointer)


def test_who_may(api: Caller, reader: Caller, stranger: Caller, mlp: str) -> None:
    asked = {"weights": api.put(read(MLP, FINAL))}
    problem(reader.post(f"/v1/models/{mlp}/checkpoints", asked), 403, "forbidden")
    problem(stranger.post(f"/v1/models/{mlp}/checkpoints", asked), 404, "not_found")
    problem(stranger.get(f"/v1/models/{mlp}/checkpoints"), 404, "not_found")


def _loaded() -> Tensors:
    kept: Tensors = {}
    changed(MLP, FINAL, kept.update)
    return kept


def _bfloat16(tensor: Any) -> tuple[tuple[int, ...], bytes]:
    bits = (np.asarray(tensor, dtype="<f4").view("<u4") >> 16).astype("<u2")
    return tuple(tensor.shape), bits.tobytes()


def _pack(tensors: dict[str, tuple[tuple[int, ...], bytes]]) -> bytes:
    import json

    header: dict[str, Any] = {}
    at, body = 0, b""
    for name, (shape, data) in tensors.items():
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [at, at + len(data)]}
        at, body = at + len(data), body + data
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + body
