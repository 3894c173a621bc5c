"""Networks on lines and planes through the whole service: each one's own loss is that of a job
about it alone, whatever running statistics the line or plane has.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.live import Api
from tests.support.reference import Pushed, push

POLICIES = ("frozen", "interpolate", "recalibrate")


@pytest.fixture(scope="module")
def pushed(live_api: Api) -> Pushed:
    """A network with batch norms, early and late in training."""
    return push(live_api, "digits_convnet", "ends")


def line(pushed: Pushed, origin: str, target: str, **more: Any) -> dict[str, Any]:
    axis = {"min": -0.25, "max": 1.25, "num": 4}
    data = [pushed.dataset]
    return {
        "kind": "interpolation",
        "origin": origin,
        "target": target,
        "alpha": axis,
        "datasets": data,
        **more,
    }


@pytest.fixture(scope="module")
def truth(live_api: Api, pushed: Pushed) -> dict[str, dict[str, float]]:
    """Loss and accuracy of three checkpoints, each the centre of a line of its own."""
    found = {}
    for identity in (pushed.checkpoints[2], pushed.checkpoints[5], pushed.final):
        direction = {"kind": "random", "seed": 1}
        asked = {
            "kind": "line",
            "origin": identity,
            "direction": direction,
            "alpha": {"min": 0, "max": 0, "num": 1},
            "datasets": [pushed.dataset],
        }
        derived = live_api.data(live_api.landscape_of(asked))["derived"]
        found[identity] = {
            name: derived[f"center_{name}"]["value"] for name in ("loss", "accuracy")
        }
    return found


@pytest.mark.parametrize("buffers", POLICIES)
def test_an_interpolation(
    live_api: Api, pushed: Pushed, truth: dict[str, dict[str, float]], buffers: str
) -> None:
    origin, target = pushed.final, pushed.checkpoints[2]
    job = live_api.landscape_of(line(pushed, origin, target, buffers=buffers))
    data = live_api.data(job)
    derived = data["derived"]
    for end, identity in (("origin", origin), ("target", target)):
        for name in ("loss", "accuracy"):
            assert derived[f"{end}_{name}"]["value"] == truth[identity][name], (end, name)
    name = pushed.folder
    on_line = [anchor["datasets"][name]["loss"] for anchor in data["anchors"]]
    assert derived["barrier"]["ends"] == on_line
    if buffers == "interpolate":
        # the ends' buffers are theirs to the bit: nothing is told apart, and nothing paid
        assert "networks" not in data
        assert on_line == [truth[identity]["loss"] for identity in (origin, target)]
        assert job["notes"] == []
        return
    networks = {network["role"]: network for network in data["networks"]}
    assert networks["target"]["checkpoint"] == target
    assert networks["target"]["label"] == "step 2"
    assert networks["target"]["on_line"][name]["loss"] == on_line[1]
    assert derived["target_loss_on_line"]["value"] == on_line[1]
    assert on_line[1] != truth[target]["loss"]
    own = [truth[identity]["loss"] for identity in (origin, target)]
    assert derived["barrier"]["own_ends"] == own
    assert (on_line[0] == own[0]) is (buffers == "frozen")
    if buffers == "frozen":
        (note,) = job["notes"]
        assert "recalibrate" in note
    else:
        assert job["notes"] == []


@pytest.mark.parametrize("sampling", [{"mode": "exact"}, {"mode": "adaptive"}])
def test_a_plane_through_three_networks(
    live_api: Api,
    pushed: Pushed,
    truth: dict[str, dict[str, float]],
    sampling: dict[str, Any],
) -> None:
    early, middle = pushed.checkpoints[2], pushed.checkpoints[5]
    directions = {
        "x": {"kind": "between", "target": early},
        "y": {"kind": "between", "target": middle},
    }
    grid = {"x": {"min": -0.5, "max": 1.5, "num": 6}, "y": {"min": -0.25, "max": 1.25, "num": 5}}
    job = live_api.landscape_of(
        {
            "kind": "surface",
            "origin": pushed.final,
            "directions": directions,
            "grid": grid,
            "datasets": [pushed.dataset],
            "sampling": sampling,
        }
    )
    data = live_api.data(job)
    name = pushed.folder
    assert [anchor["at"] for anchor in data["anchors"]] == [[0, 0], [1, 0], [0, 1]]
    assert [network["role"] for network in data["networks"]] == ["origin", "x", "y"]
    for network, identity in zip(data["networks"], (pushed.final, early, middle), strict=True):
        assert network["checkpoint"] == identity
        # a surface's cells may have their first products combined; networks themselves do not
        rounding = 1e-6 if network["role"] == "origin" else 0
        assert network["datasets"][name]["loss"] == pytest.approx(
            truth[identity]["loss"], rel=rounding, abs=0
        )
    assert data["derived"]["network_x_loss"]["value"] == truth[early]["loss"]
    assert data["networks"][1]["on_plane"][name]["loss"] != truth[early]["loss"]
    assert len(job["notes"]) == 1
    for view in ("contour", "surface"):
        figure = live_api.get(f"/v1/landscapes/{job['landscape']}/figure.svg?view={view}")
        assert figure.status_code == 200
    page = live_api.get(f"/v1/landscapes/{job['landscape']}/view")
    assert page.status_code == 200


def test_a_centre_with_recomputed_statistics_is_told_apart(
    live_api: Api, pushed: Pushed, truth: dict[str, dict[str, float]]
) -> None:
    job = live_api.landscape_of(
        {
            "kind": "line",
            "origin": pushed.final,
            "direction": {"kind": "random", "seed": 1},
            "repeats": 2,
            "alpha": {"min": -1, "max": 1, "num": 3},
            "datasets": [pushed.dataset],
            "buffers": "recalibrate",
        }
    )
    data = live_api.data(job)
    assert data["derived"]["center_loss"]["value"] == truth[pushed.final]["loss"]
    assert data["center"]["datasets"][pushed.folder]["loss"] != truth[pushed.final]["loss"]
    assert job["notes"] == []
