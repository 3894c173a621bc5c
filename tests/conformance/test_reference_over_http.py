"""Both reference folders through the whole service: HTTP in, workers, HTTP out.

The tolerances are those of the reference's own README: loss 1e-5 relative per cell in float32,
accuracy to one sample.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.support.live import Api
from tests.support.reference import Pushed, directions_of, push


@pytest.fixture(scope="module", params=["digits_convnet", "digits_mlp"])
def pushed(request: pytest.FixtureRequest, live_api: Api) -> Pushed:
    return push(live_api, request.param)


TAGS = {
    "digits_convnet": ("filter", "filter_all", "layer", "weight", "none"),
    "digits_mlp": ("filter",),
}


def test_surfaces_along_the_given_directions(live_api: Api, pushed: Pushed) -> None:
    for tag in TAGS[pushed.folder]:
        expected = pushed.expected[f"surface_{tag}"]
        digest = directions_of(live_api, pushed.folder, tag)
        job = live_api.landscape_of(
            {
                "kind": "surface",
                "origin": pushed.final,
                "directions": {
                    axis: {"kind": "uploaded", "object": digest, "prefix": f"{axis}."}
                    for axis in "xy"
                },
                "grid": {axis: axis_of(expected[axis]) for axis in "xy"},
                "datasets": [pushed.dataset],
            }
        )
        data = live_api.data(job)
        assert np.allclose(data["x"], expected["x"], atol=1e-12)
        assert np.allclose(data["y"], expected["y"], atol=1e-12)
        agree(data["datasets"][pushed.folder], expected, tag)
        assert {word for row in data["status"] for word in row} == {"ok"}


def test_interpolation(live_api: Api, pushed: Pushed) -> None:
    expected = pushed.expected["interpolation"]
    origin, target = (
        pushed.checkpoints[int(expected[end].removeprefix("checkpoint_"))] for end in ("from", "to")
    )
    job = live_api.landscape_of(
        {
            "kind": "interpolation",
            "origin": origin,
            "target": target,
            "alpha": axis_of(expected["alpha"]),
            "datasets": [pushed.dataset],
        }
    )
    data = live_api.data(job)
    assert np.allclose(data["x"], expected["alpha"], atol=1e-12)
    agree(data["datasets"][pushed.folder], expected, "interpolation")


def test_the_centre_is_the_trained_network(live_api: Api, pushed: Pushed) -> None:
    job = live_api.landscape_of(
        {
            "kind": "surface",
            "origin": pushed.final,
            "directions": {
                "x": {"kind": "random", "seed": 1},
                "y": {"kind": "random", "seed": 2},
            },
            # a grid that misses the centre: its loss is known all the same
            "grid": {"x": {"min": -1, "max": 1, "num": 4}, "y": {"min": -0.5, "max": 1, "num": 2}},
            "datasets": [pushed.dataset],
        }
    )
    final = pushed.expected["final"]
    landscape = live_api.get(f"/v1/landscapes/{job['landscape']}").json()
    assert landscape["derived"]["center_loss"]["value"] == pytest.approx(final["loss"], rel=1e-5)
    anchor = live_api.data(job)["anchors"][0]
    assert anchor["at"] == [0.0, 0.0]
    samples = live_api.data(job)["datasets"][pushed.folder]["samples"]
    accuracy = anchor["datasets"][pushed.folder]["accuracy"]
    assert abs(accuracy - final["accuracy"]) <= 1.0 / samples + 1e-12


def axis_of(points: list[float]) -> dict[str, Any]:
    return {"min": points[0], "max": points[-1], "num": len(points)}


def agree(values: dict[str, Any], expected: dict[str, Any], label: str) -> None:
    loss = np.array(values["loss"]["values"], dtype=np.float64)
    wanted = np.array(expected["loss"])
    worst = np.max(np.abs(loss - wanted) / np.abs(wanted))
    assert worst <= 1e-5, f"{label}: worst relative difference of the loss {worst:.2e}"
    accuracy = np.array(values["accuracy"]["values"], dtype=np.float64)
    slack = 1.0 / values["samples"] + 1e-12
    assert np.max(np.abs(accuracy - np.array(expected["accuracy"]))) <= slack, label
