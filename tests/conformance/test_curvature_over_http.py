"""The Hessian's spectrum and convexity maps through the whole service, against dense float64.

The reference network has 610 parameters, so that its whole Hessian is known.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load, load_file
from torch import Tensor, nn
from torch.autograd.functional import hessian
from torch.func import functional_call

from tests.support.live import Api
from tests.support.reference import ROOT, Pushed, push

MLP = "digits_mlp"
NAMES = ("fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias")


class Mlp(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(64, 8), nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc2(torch.tanh(self.fc1(x.flatten(1))))
        return out


def final_weights() -> dict[str, Tensor]:
    return load_file(sorted((ROOT / MLP).glob("checkpoint_*.safetensors"))[-1])


def dense(weights: Mapping[str, Tensor], names: tuple[str, ...] = NAMES) -> Tensor:
    """∇²L in float64 over these parameters, one after the other in their file's order."""
    data = load_file(ROOT / MLP / "data.safetensors")
    module, inputs = Mlp(), data["inputs"].double()
    fixed = {name: tensor.double() for name, tensor in weights.items()}
    shapes = [fixed[name].shape for name in names]

    def loss(vector: Tensor) -> Tensor:
        parts = vector.split([shape.numel() for shape in shapes])
        moved = {n: p.reshape(s) for n, p, s in zip(names, parts, shapes, strict=True)}
        outputs = functional_call(module, {**fixed, **moved}, (inputs,))
        return nn.functional.cross_entropy(outputs, data["targets"])

    matrix: Tensor = hessian(loss, torch.cat([fixed[name].reshape(-1) for name in names]))
    return matrix


@cache
def whole() -> Tensor:
    return dense(final_weights())


@pytest.fixture(scope="module")
def pushed(live_api: Api) -> Pushed:
    return push(live_api, MLP, "curvature")


def asked(pushed: Pushed, **changes: Any) -> dict[str, Any]:
    return {
        "kind": "curvature",
        "origin": pushed.final,
        "datasets": [pushed.dataset],
        "precision": "float64",
        **changes,
    }


@pytest.fixture(scope="module")
def everything(live_api: Api, pushed: Pushed) -> dict[str, Any]:
    """A job that asks for all there is at a point, and what came of it."""
    job = live_api.landscape_of(
        asked(
            pushed,
            largest=8,
            smallest=8,
            tolerance=1e-7,
            max_products=610,
            trace={"method": "deflated", "samples": 16},
            density={"steps": 80, "probes": 6},
            layers=True,
            along=[{"kind": "random", "seed": 3}, {"kind": "random", "seed": 4, "ignore": []}],
        )
    )
    landscape = live_api.get(f"/v1/landscapes/{job['landscape']}").json()
    return {"job": job, "data": live_api.data(job), "landscape": landscape}


def values(pairs: list[dict[str, Any]]) -> Any:
    return np.array([pair["value"] for pair in pairs])


def test_eigenvalues_of_the_reference(everything: dict[str, Any], pushed: Pushed) -> None:
    curvature, expected = everything["data"]["curvature"], pushed.expected["hessian_float64"]
    scale = expected["largest"][0]
    for end in ("largest", "smallest"):
        assert np.abs(values(curvature[end]) - expected[end][:8]).max() <= 1e-6 * scale
        assert all(pair["converged"] for pair in curvature[end])
        assert all(pair["residual"] <= 1e-7 * scale for pair in curvature[end])
    assert curvature["parameters"] == expected["parameters"]
    assert curvature["lanczos_products"] < 610
    assert set(curvature["definitions"]) >= {"largest", "trace", "density", "layers", "along"}


def test_the_trace_lies_in_its_interval(everything: dict[str, Any], pushed: Pushed) -> None:
    trace = everything["data"]["curvature"]["trace"]
    low, high = trace["interval"]
    wanted = pushed.expected["hessian_float64"]["trace"]
    assert low <= wanted <= high
    assert (high - low) < 0.05 * wanted
    assert (trace["method"], trace["samples"]) == ("deflated", 16)


def test_the_density_has_the_spectrums_moments(everything: dict[str, Any], pushed: Pushed) -> None:
    density = everything["data"]["curvature"]["density"]
    nodes, weights = np.array(density["nodes"]), np.array(density["weights"])
    expected = pushed.expected["hessian_float64"]
    assert weights.sum() == pytest.approx(1.0, abs=1e-12)
    assert set(density["probe"]) == set(range(6))
    second = float((weights * nodes**2).sum()) * expected["parameters"]
    assert second == pytest.approx(expected["frobenius"] ** 2, rel=0.5)
    curve = density["curve"]
    spacing = curve["x"][1] - curve["x"][0]
    assert sum(curve["density"]) * spacing == pytest.approx(1.0, abs=1e-6)


def test_layers_are_diagonal_blocks(everything: dict[str, Any]) -> None:
    layers = everything["data"]["curvature"]["layers"]
    assert [layer["name"] for layer in layers] == ["fc1", "fc2"]
    total = 0.0
    for layer in layers:
        block = dense(final_weights(), (f"{layer['name']}.weight", f"{layer['name']}.bias"))
        exact = torch.linalg.eigvalsh(block)
        assert layer["parameters"] == len(block)
        assert layer["largest"]["value"] == pytest.approx(float(exact[-1]), rel=1e-6)
        assert layer["smallest"]["value"] == pytest.approx(
            float(exact[0]), abs=1e-6 * float(exact[-1])
        )
        low, high = layer["trace"]["interval"]
        assert low <= float(block.trace()) <= high
        total += layer["trace"]["value"]
    assert total == pytest.approx(float(whole().trace()), rel=0.02)


def test_along_is_the_quotient(live_api: Api, everything: dict[str, Any]) -> None:
    along = everything["data"]["curvature"]["along"]
    assert [entry["direction"] for entry in along] == [
        everything["job"]["directions"][f"along{i}"] for i in range(2)
    ]
    for entry in along:
        tensors = load(live_api.get(f"/v1/directions/{entry['direction']}/tensors").content)
        d = torch.cat([tensors[name].double().reshape(-1) for name in NAMES])
        assert entry["norm"] == pytest.approx(float(d.norm()), rel=1e-9)
        assert entry["value"] == pytest.approx(float(d @ whole() @ d / (d @ d)), rel=1e-6)


def test_measures_that_can_be_searched(
    live_api: Api, everything: dict[str, Any], pushed: Pushed
) -> None:
    derived = everything["landscape"]["derived"]
    top = pushed.expected["hessian_float64"]["largest"][0]
    assert derived["lambda_max"]["value"] == pytest.approx(top, rel=1e-6)
    assert derived["lambda_min"]["value"] < 0
    assert derived["trace"]["stderr"] > 0
    assert derived["center_loss"]["value"] == pytest.approx(pushed.expected["final"]["loss"])
    here = everything["landscape"]["id"]

    def found(**query: float) -> set[str]:
        answer = live_api.get("/v1/landscapes", project="curvature", **query)
        assert answer.status_code == 200, answer.text
        return {item["id"] for item in answer.json()["items"]}

    assert here in found(**{"derived.lambda_max.min": 0.99 * top, "derived.trace.min": 10.0})
    assert here not in found(**{"derived.lambda_max.min": 1.01 * top})


def test_progress_is_counted_in_products(everything: dict[str, Any]) -> None:
    progress = everything["job"]["progress"]
    assert progress["unit"] == "products"
    assert progress["done"] == progress["total"] > 600


def test_excluded_parameters(live_api: Api, pushed: Pushed) -> None:
    job = live_api.landscape_of(asked(pushed, exclude=["bias"], tolerance=1e-6))
    curvature = live_api.data(job)["curvature"]
    exact = torch.linalg.eigvalsh(dense(final_weights(), ("fc1.weight", "fc2.weight")))
    assert (curvature["parameters"], curvature["excluded"]) == (592, ["bias"])
    assert curvature["largest"][0]["value"] == pytest.approx(float(exact[-1]), rel=1e-6)
    assert curvature["smallest"][0]["value"] == pytest.approx(
        float(exact[0]), abs=1e-6 * float(exact[-1])
    )


@pytest.mark.parametrize("method", ["hutchinson", "hutch++", "xtrace"])
def test_every_estimate_of_the_trace(live_api: Api, pushed: Pushed, method: str) -> None:
    job = live_api.landscape_of(
        asked(pushed, largest=0, smallest=0, trace={"method": method, "samples": 60}, seed=5)
    )
    curvature = live_api.data(job)["curvature"]
    trace, wanted = curvature["trace"], pushed.expected["hessian_float64"]["trace"]
    # how often intervals hold is the engine's tests' to say; four errors would be a fault
    assert abs(trace["value"] - wanted) <= 4 * trace["standard_error"]
    assert trace["standard_error"] <= 0.1 * wanted
    assert trace["method"] == method
    assert (curvature["largest"], curvature["smallest"]) == ([], [])
    assert curvature["products"] <= 60


def test_float32_is_close(live_api: Api, pushed: Pushed, everything: dict[str, Any]) -> None:
    job = live_api.landscape_of(asked(pushed, precision="float32"))
    got, exact = live_api.data(job)["curvature"], everything["data"]["curvature"]
    top = exact["largest"][0]["value"]
    for end in ("largest", "smallest"):
        assert abs(got[end][0]["value"] - exact[end][0]["value"]) <= 1e-5 * top


AXES = {"x": {"min": -1.0, "max": 1.0, "num": 3}, "y": {"min": -0.5, "max": 1.0, "num": 4}}
MAP = {
    "directions": {"x": {"kind": "random", "seed": 1}, "y": {"kind": "random", "seed": 2}},
    "grid": AXES,
}


@pytest.fixture(scope="module")
def mapped(live_api: Api, pushed: Pushed) -> dict[str, Any]:
    spec = asked(pushed, map=MAP, tolerance=1e-5)
    job = live_api.landscape_of(spec)
    landscape = live_api.get(f"/v1/landscapes/{job['landscape']}").json()
    return {"job": job, "spec": spec, "data": live_api.data(job), "landscape": landscape}


def test_cells_of_a_map(live_api: Api, mapped: dict[str, Any]) -> None:
    data, weights = mapped["data"], final_weights()
    moves = {
        axis: load(
            live_api.get(f"/v1/directions/{mapped['job']['directions'][axis]}/tensors").content
        )
        for axis in "xy"
    }
    cells = data["datasets"][MLP]
    for iy, ix in ((0, 0), (1, 1), (3, 2)):
        alpha, beta = data["x"][ix], data["y"][iy]
        at = {
            name: (
                w.double() + alpha * moves["x"][name].double() + beta * moves["y"][name].double()
            )
            for name, w in weights.items()
        }
        exact = torch.linalg.eigvalsh(dense(at))
        top, low = float(exact[-1]), float(exact[0])
        scale = max(abs(top), abs(low))
        assert cells["lambda_max"]["values"][iy][ix] == pytest.approx(top, abs=1e-5 * scale)
        assert cells["lambda_min"]["values"][iy][ix] == pytest.approx(low, abs=1e-5 * scale)
        assert cells["ratio"]["values"][iy][ix] == pytest.approx(abs(low / top), abs=1e-4)
        assert cells["converged"]["values"][iy][ix] == 1.0
        assert 2 <= cells["products"]["values"][iy][ix] <= 300


def test_a_maps_losses_are_a_surfaces(
    live_api: Api, pushed: Pushed, mapped: dict[str, Any]
) -> None:
    surface = {
        "kind": "surface",
        "origin": pushed.final,
        "datasets": [pushed.dataset],
        "precision": "float64",
        "directions": mapped["job"]["spec"]["map"]["directions"],
        "grid": AXES,
    }
    plain = live_api.data(live_api.landscape_of(surface))
    got, wanted = (np.array(d["datasets"][MLP]["loss"]["values"]) for d in (mapped["data"], plain))
    assert np.abs(got - wanted).max() <= 1e-12 * np.abs(wanted).max()


def test_shares_of_a_map(mapped: dict[str, Any]) -> None:
    derived, cells = mapped["landscape"]["derived"], mapped["data"]["datasets"][MLP]
    top, low = (np.array(cells[name]["values"]) for name in ("lambda_max", "lambda_min"))
    negative = low < -1e-5 * np.maximum(np.abs(top), np.abs(low))
    assert derived["negative_share"]["value"] == pytest.approx(negative.mean())
    assert derived["strongly_negative_share"]["value"] == pytest.approx(
        (low < -0.1 * np.abs(top)).mean()
    )
    assert derived["lambda_max"]["value"] > 0
    assert derived["negative_share"]["cells_known"] == 12


def test_two_computations_have_the_same_bits(live_api: Api, mapped: dict[str, Any]) -> None:
    """Another job, its tiles taken by whichever of the two workers comes first."""
    again = live_api.landscape_of({**mapped["spec"], "force": True})
    plans = [
        live_api.get(f"/v1/landscapes/{job['landscape']}").json() for job in (mapped["job"], again)
    ]
    ways = [plan["provenance"]["curvature"] for plan in plans]
    if ways[0] == ways[1]:
        assert plans[0]["data"] == plans[1]["data"]
    first, second = (live_api.data(job)["datasets"][MLP] for job in (mapped["job"], again))
    for name in ("lambda_max", "lambda_min"):
        got, wanted = (np.array(d[name]["values"]) for d in (first, second))
        assert np.abs(got - wanted).max() <= 1e-9 * np.abs(wanted).max()


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"precision": "bf16"}, "/precision"),
        ({"buffers": "interpolate"}, "/buffers"),
        ({"precision": "float32", "tolerance": 1e-9}, "/tolerance"),
        ({"largest": 5, "smallest": 5, "max_products": 9}, "/max_products"),
        ({"largest": 0, "smallest": 0, "trace": {}}, "/trace"),
        ({"trace": {"method": "xtrace", "samples": 3}}, "/trace/samples"),
        ({"buffers": "recalibrate", "map": MAP}, "/buffers"),
        ({"layers": True, "map": MAP}, "/map"),
    ],
)
def test_refusals(live_api: Api, pushed: Pushed, changes: dict[str, Any], pointer: str) -> None:
    answer = live_api.post("/v1/jobs", asked(pushed, **changes))
    assert answer.status_code == 422, answer.text
    body = json.loads(answer.content)
    assert [error["pointer"] for error in body["errors"]] == [pointer], body
