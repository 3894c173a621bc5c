"""Adaptive sampling through the whole service: what is evaluated, what is stated, what is told.

One exact and one adaptive job about the same surface; every test looks at these two.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
import pytest

from tests.support.live import Api
from tests.support.reference import Pushed, push

NUM = 41
TOLERANCE = 0.03


@dataclass(frozen=True)
class Pair:
    """Jobs that succeeded, and their grid JSON."""

    pushed: Pushed
    exact_job: dict[str, Any]
    job: dict[str, Any]
    exact: dict[str, Any]
    adaptive: dict[str, Any]

    def values(self, data: dict[str, Any], name: str) -> np.ndarray[Any, Any]:
        return np.array(data["datasets"][self.pushed.folder][name]["values"], dtype=np.float64)


def spec_of(pushed: Pushed, **change: Any) -> dict[str, Any]:
    axis = {"min": -1, "max": 1, "num": NUM}
    return {
        "kind": "surface",
        "origin": pushed.final,
        "directions": {"x": {"kind": "random", "seed": 1}, "y": {"kind": "random", "seed": 2}},
        "grid": {"x": axis, "y": axis},
        "datasets": [pushed.dataset],
        **change,
    }


@pytest.fixture(scope="module")
def pair(live_api: Api) -> Pair:
    pushed = push(live_api, "digits_mlp")
    sampling = {"mode": "adaptive", "tolerance": TOLERANCE}
    exact = live_api.landscape_of(spec_of(pushed))
    job = live_api.landscape_of(spec_of(pushed, sampling=sampling))
    return Pair(pushed, exact, job, live_api.data(exact), live_api.data(job))


def test_evaluated_cells_are_the_exact_ones_bit_for_bit(pair: Pair) -> None:
    evaluated = pair.values(pair.adaptive, "evaluated") == 1
    assert 0 < evaluated.sum() < 0.5 * evaluated.size
    for name in ("loss", "accuracy"):
        exact, adaptive = pair.values(pair.exact, name), pair.values(pair.adaptive, name)
        np.testing.assert_array_equal(adaptive[evaluated], exact[evaluated])
    assert pair.adaptive["center"] == pair.exact["center"]


def test_interpolated_cells_hold_what_they_state(pair: Pair) -> None:
    evaluated = pair.values(pair.adaptive, "evaluated") == 1
    stated = pair.values(pair.adaptive, "estimated_error")
    exact, adaptive = pair.values(pair.exact, "loss"), pair.values(pair.adaptive, "loss")
    error = np.abs(adaptive / exact - 1)
    assert (error <= TOLERANCE).mean() >= 0.95
    assert (error <= stated).mean() >= 0.95
    assert (stated[evaluated] == 0).all()
    assert (stated[~evaluated] > 0).all()
    accuracy = pair.values(pair.adaptive, "accuracy")
    assert ((accuracy >= 0) & (accuracy <= 1)).all()
    # nobody knows the standard error of what nobody evaluated
    stderr = np.array(pair.adaptive["datasets"][pair.pushed.folder]["loss"]["stderr"])
    assert ((stderr == np.array(None)) == ~evaluated).all()


def test_the_result_says_how_it_came_to_be(pair: Pair, live_api: Api) -> None:
    told = pair.adaptive["sampling"]
    evaluated = int(pair.values(pair.adaptive, "evaluated").sum())
    assert (told["mode"], told["tolerance"]) == ("adaptive", TOLERANCE)
    assert (told["cells"], told["evaluations"]) == (NUM * NUM, evaluated)
    assert told["saved"] == pytest.approx(NUM * NUM / evaluated)
    of_data = told["datasets"][pair.pushed.folder]
    assert " radial basis of lo" in of_data["interpolant"]
    assert of_data["expected_within_tolerance"] >= 0.95 - 1e-9
    assert of_data["audit"]["cells"] >= 20
    assert of_data["audit"]["within_stated_error"] >= 0.95
    landscape = live_api.get(f"/v1/landscapes/{pair.job['landscape']}").json()
    assert landscape["provenance"]["sampling"] == told
    assert landscape["derived"]["sampling"]["evaluations"] == evaluated
    assert "interpolated" in landscape["derived"]["sampling"]["note"]
    assert "sampling" not in pair.exact
    assert "evaluated" not in pair.exact["datasets"][pair.pushed.folder]


def test_the_two_are_different_questions(pair: Pair, live_api: Api) -> None:
    assert pair.exact_job["id"] != pair.job["id"]
    again = live_api.post("/v1/jobs", spec_of(pair.pushed, sampling={"mode": "exact"}))
    assert (again.status_code, again.json()["id"]) == (200, pair.exact_job["id"])
    # the same question has the same answer
    sampling = {"mode": "adaptive", "tolerance": TOLERANCE}
    asked = spec_of(pair.pushed, sampling=sampling)
    assert live_api.post("/v1/jobs", asked).json()["id"] == pair.job["id"]
    looser = spec_of(pair.pushed, sampling={"mode": "adaptive", "tolerance": 0.1})
    digests = {live_api.get(f"/v1/landscapes/{pair.job['landscape']}").json()["input_digest"]}
    other = live_api.landscape_of(looser)
    digests.add(live_api.get(f"/v1/landscapes/{other['landscape']}").json()["input_digest"])
    assert len(digests) == 2


def test_the_surface_under_a_path(live_api: Api) -> None:
    """Fewer cells are evaluated; checkpoints, and their places in the plane, always are."""
    pushed = push(live_api, "digits_mlp", "paths")
    asked = {
        "kind": "trajectory",
        "model": pushed.model,
        "checkpoints": list(pushed.checkpoints),
        "datasets": [pushed.dataset],
        "surface": {"num": 31, "margin": 0.2},
    }
    plain = live_api.landscape_of(asked)
    job = live_api.landscape_of(asked | {"sampling": {"mode": "adaptive", "tolerance": TOLERANCE}})
    exact, adaptive = live_api.data(plain), live_api.data(job)
    assert adaptive["trajectory"] == exact["trajectory"]
    assert adaptive["center"]["datasets"] == exact["center"]["datasets"]
    sides = [data["datasets"][pushed.folder] for data in (exact, adaptive)]
    truth, loss = (np.array(side["loss"]["values"], dtype=np.float64) for side in sides)
    evaluated = np.array(sides[1]["evaluated"]["values"]) == 1
    stated = np.array(sides[1]["estimated_error"]["values"], dtype=np.float64)
    assert 0 < evaluated.sum() < 0.5 * evaluated.size
    np.testing.assert_array_equal(loss[evaluated], truth[evaluated])
    error = np.abs(loss / truth - 1)
    assert (error <= TOLERANCE).mean() >= 0.95
    assert (error <= stated).mean() >= 0.95
    told = adaptive["sampling"]
    assert (told["cells"], told["evaluations"]) == (31 * 31, int(evaluated.sum()))
    # the one way there was is the same question as before there were two
    again = live_api.post("/v1/jobs", asked | {"sampling": {"mode": "exact"}})
    assert (again.status_code, again.json()["id"]) == (200, plain["id"])
    figure = live_api.get(f"/v1/landscapes/{job['landscape']}/figure.svg").text
    assert "adaptive sampling" in figure


def test_too_small_a_surface_under_a_path(live_api: Api) -> None:
    pushed = push(live_api, "digits_mlp", "small")
    refused = live_api.post(
        "/v1/jobs",
        {
            "kind": "trajectory",
            "model": pushed.model,
            "datasets": [pushed.dataset],
            "surface": {"num": 4},
            "sampling": {"mode": "adaptive"},
        },
    )
    assert refused.status_code == 422
    assert "adaptive needs 5 points" in refused.text


def test_computed_again_it_has_the_same_bytes(pair: Pair, live_api: Api) -> None:
    sampling = {"mode": "adaptive", "tolerance": TOLERANCE}
    again = live_api.landscape_of(spec_of(pair.pushed, sampling=sampling, force=True))
    landscapes = [
        live_api.get(f"/v1/landscapes/{job['landscape']}").json() for job in (pair.job, again)
    ]
    assert landscapes[0]["id"] != landscapes[1]["id"]
    assert landscapes[0]["data"] == landscapes[1]["data"]


def test_progress_counts_what_is_evaluated(pair: Pair, live_api: Api) -> None:
    told = pair.adaptive["sampling"]
    progress = pair.job["progress"]
    assert progress["done"] == progress["total"] == told["evaluations"]
    events = live_api.get(f"/v1/jobs/{pair.job['id']}/events").json()["items"]
    refined = [e["data"] for e in events if e["type"] == "refined"]
    assert [e["round"] for e in refined] == list(range(1, told["rounds"]))
    (planned,) = [e["data"] for e in events if e["type"] == "planned"]
    assert planned["cells"] + sum(e["cells"] for e in refined) == told["evaluations"]


def test_files_carry_the_flags(pair: Pair, live_api: Api) -> None:
    here = f"/v1/landscapes/{pair.job['landscape']}"
    evaluated = pair.values(pair.adaptive, "evaluated")
    with np.load(io.BytesIO(live_api.get(f"{here}/data.npz").content)) as arrays:
        np.testing.assert_array_equal(arrays["d0.extra.evaluated"], evaluated)
        assert arrays["d0.extra.estimated_error"].shape == (NUM, NUM)
        assert float(arrays["attached.sampling.tolerance"]) == TOLERANCE
    with h5py.File(io.BytesIO(live_api.get(f"{here}/data.h5").content)) as file:
        group = file["datasets"][pair.pushed.folder]
        np.testing.assert_array_equal(group["extra/evaluated"][()], evaluated)
        assert group["extra/estimated_error"].shape == (NUM, NUM)
    vts = live_api.get(f"{here}/data.vts").text
    assert 'Name="evaluated"' in vts
    assert 'Name="estimated_error"' in vts


def test_figures_say_so(pair: Pair, live_api: Api) -> None:
    here = f"/v1/landscapes/{pair.job['landscape']}/figure"
    plain = live_api.get(f"{here}.png")
    assert plain.status_code == 200
    dotted = live_api.get(f"{here}.png", samples=True)
    assert dotted.status_code == 200
    assert dotted.content != plain.content
    for query in ({"metric": "evaluated"}, {"metric": "estimated_error"}, {"view": "surface"}):
        assert live_api.get(f"{here}.svg", **query).status_code == 200
    exact = f"/v1/landscapes/{pair.exact_job['landscape']}/figure.png"
    assert live_api.get(exact, metric="evaluated").status_code == 422


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"sampling": {"mode": "adaptive", "tolerance": 0}}, "/sampling/tolerance"),
        ({"sampling": {"mode": "adaptive", "tolerance": 1.01}}, "/sampling/tolerance"),
        ({"sampling": {"mode": "adaptive", "tolerance": "much"}}, "/sampling/tolerance"),
        ({"sampling": {"mode": "adaptive", "audit": 0}}, "/sampling/audit"),
        ({"sampling": {"mode": "magic"}}, "/sampling/mode"),
        ({"sampling": {"mode": "exact", "tolerance": 0.1}}, "/sampling/tolerance"),
        ({"sampling": "adaptive"}, "/sampling"),
        (
            {
                "sampling": {"mode": "adaptive"},
                "grid": {axis: {"min": -1, "max": 1, "num": 4} for axis in "xy"},
            },
            "/sampling",
        ),
        (
            {
                "sampling": {"mode": "adaptive"},
                "grid": {axis: {"min": -1, "max": 1, "num": 900} for axis in "xy"},
            },
            "/sampling",
        ),
    ],
)
def test_what_cannot_be_sampled_is_refused_with_the_place(
    pair: Pair, live_api: Api, change: dict[str, Any], pointer: str
) -> None:
    answer = live_api.post("/v1/jobs", spec_of(pair.pushed, **change))
    assert answer.status_code == 422, answer.text
    assert [e["pointer"] for e in answer.json()["errors"]] == [pointer]


def test_a_line_has_no_sampling(pair: Pair, live_api: Api) -> None:
    line = {
        "kind": "line",
        "origin": pair.pushed.final,
        "direction": {"kind": "random", "seed": 1},
        "datasets": [pair.pushed.dataset],
        "sampling": {"mode": "adaptive"},
    }
    answer = live_api.post("/v1/jobs", line)
    assert answer.status_code == 422
    assert [e["pointer"] for e in answer.json()["errors"]] == ["/sampling"]
