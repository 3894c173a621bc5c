"""Networks on a line or plane: their own values beside what is shown at their places; and results
of before, which have no such values."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.domain.cells import CellStatus
from service.domain.networks import Networks, own, provenance
from service.domain.plan import PLANE_ANCHORS, JobPlan, PlannedNetwork
from service.domain.results import (
    DatasetTile,
    GridResult,
    Tile,
    assemble,
    decode_npz,
    encode_npz,
)
from service.landscapes.grid import grid_json
from tests.support.measured import measure
from tests.support.planned import planned

STORED = Path(__file__).parent.parent / "data" / "results"


def network(role: str, at: tuple[float, float], *, itself: bool = True) -> PlannedNetwork:
    checkpoint = f"ckp_01k5m8z3r7q9w2x4y6t8v0b1c{len(role)}"
    return PlannedNetwork.model_validate(
        {"role": role, "checkpoint": checkpoint, "at": at, "itself": itself}
    )


ENDS = (network("origin", (0.0, 0.0), itself=False), network("target", (1.0, 0.0)))


def computed(plan: JobPlan, start: int = 0, stop: int | None = None, *, less: float = 1.5) -> Tile:
    """1 + α + 4α(1 − α) + β at points of the plan; at networks themselves lower by `less`."""
    index = plan.order()[start:stop]
    a, b = plan.coordinates()[index].T
    loss = 1 + a + 4 * a * (1 - a) + b - less * (index >= plan.in_plane)
    return Tile(
        index, (DatasetTile(loss, 0 * loss + 0.1, loss / 10, np.zeros(len(index), np.int8)),)
    )


def line(num: int = 21, **more: Any) -> tuple[JobPlan, GridResult]:
    plan = planned(np.linspace(-0.5, 1.5, num).tolist(), None, tile_cells=3, networks=ENDS)
    return plan, assemble(plan, ["test"], [200], [computed(plan, **more)])


@pytest.mark.parametrize("num", [21, 20])
def test_ends_are_the_networks_own_and_the_lines_stand_beside(num: int) -> None:
    plan, result = line(num)
    on_grid = num == 21
    assert plan.evaluations == num + 1 + (0 if on_grid else 2)
    derived = measure(result)
    assert derived["origin_loss"]["value"] == 1.0
    assert derived["target_loss"]["value"] == 0.5
    assert derived["target_loss_on_line"]["value"] == 2.0
    assert derived["origin_loss_on_line"]["value"] == 1.0
    assert derived["target_accuracy"]["value"] == pytest.approx(0.05)
    assert derived["target_accuracy_on_line"]["value"] == pytest.approx(0.2)
    # every point of a barrier's function has its statistics in the same way
    x = np.concatenate([[0.0, 1.0], result.x[(result.x >= 0) & (result.x <= 1)]])
    barrier = derived["barrier"]
    assert barrier["value"] == pytest.approx((4 * x * (1 - x)).max())
    assert barrier["ends"] == [1.0, 2.0]
    assert barrier["own_ends"] == [1.0, 0.5]
    chord = (1 - x) * 1.0 + x * 0.5
    assert barrier["over_own_ends"] == pytest.approx((1 + x + 4 * x * (1 - x) - chord).max())


def test_the_arrays_and_the_json_have_both() -> None:
    plan, result = line()
    back = GridResult.from_arrays(decode_npz(encode_npz(result.to_arrays())))
    known = provenance(plan, {ENDS[1].checkpoint: "Adam, last"})
    body = json.loads(
        json.dumps(grid_json("interpolation", back, provenance=known, derived={}), allow_nan=False)
    )
    origin, target = body["networks"]
    assert (target["role"], target["at"], target["label"]) == ("target", [1.0], "Adam, last")
    assert target["checkpoint"] == ENDS[1].checkpoint
    assert target["datasets"]["test"]["loss"] == 0.5
    assert target["on_line"]["test"]["loss"] == 2.0
    assert origin["datasets"] == origin["on_line"]
    assert body["anchors"][1]["datasets"]["test"]["loss"] == 2.0


def test_own_values_come_first_and_are_pending_until_then() -> None:
    plan = planned([0.0, 0.5, 1.0], None, tile_cells=3, networks=ENDS)
    assert plan.order()[0] == plan.in_plane
    nothing = assemble(plan, ["test"], [200], [])
    derived = measure(nothing)
    assert derived["target_loss"]["value"] is None
    assert "pending" in derived["target_loss"]["reason"]
    grid_json("interpolation", nothing, provenance={}, derived=derived)
    first = assemble(plan, ["test"], [200], [computed(plan, 0, 1)])
    assert measure(first)["target_loss"]["value"] == 0.5
    assert measure(first)["target_loss_on_line"]["value"] is None


def test_a_network_without_a_finite_loss_says_so_and_leaves_the_barrier() -> None:
    _, result = line()
    spoilt = dict(result.attachments)
    spoilt["network.loss"] = np.array([[1.0, np.inf]])
    spoilt["network.status"] = np.array([[0, CellStatus.POSINF]], dtype=np.int8)
    derived = measure(replace(result, attachments=spoilt))
    assert derived["target_loss"]["value"] is None
    assert derived["barrier"]["value"] == pytest.approx(1.0)
    assert "own_ends" not in derived["barrier"]


def test_a_plane_through_three_networks() -> None:
    networks = (
        network("origin", (0.0, 0.0), itself=False),
        network("x", (1.0, 0.0)),
        network("y", (0.25, 1.0)),
    )
    anchors = (*PLANE_ANCHORS, (1.0, 0.0), (0.25, 1.0))
    plan = planned(
        [-1.0, 0.0, 1.0, 2.0], [0.0, 0.5, 1.0], anchors=anchors, tile_cells=3, networks=networks
    )
    # (¼, 1) is no cell, and two networks are evaluated themselves
    assert (plan.cells, plan.in_plane, plan.evaluations) == (12, 13, 15)
    assert plan.coordinates()[-2:].tolist() == [[1.0, 0.0], [0.25, 1.0]]
    result = assemble(plan, ["test"], [200], [computed(plan, 0, 4), computed(plan, 4)])
    derived = measure(result)
    on_plane = 1 + 0.25 + 4 * 0.25 * 0.75 + 1
    assert derived["network_x_loss"]["value"] == pytest.approx(0.5)
    assert derived["network_y_loss"]["value"] == pytest.approx(on_plane - 1.5)
    assert derived["network_y_accuracy"]["value"] == pytest.approx((on_plane - 1.5) / 10)
    assert derived["center_loss"]["value"] == 1.0
    body = grid_json("surface", result, provenance={}, derived=derived)
    assert [n["at"] for n in body["networks"]] == [[0.0, 0.0], [1.0, 0.0], [0.25, 1.0]]
    assert body["networks"][2]["on_plane"]["test"]["loss"] == pytest.approx(on_plane)


def test_a_centre_with_recomputed_statistics_is_not_the_trained_network() -> None:
    networks = (network("origin", (0.0, 0.0)),)
    plan = planned([-1.0, 0.0, 1.0], [-1.0, 0.0, 1.0], tile_cells=3, networks=networks)
    result = assemble(plan, ["test"], [200], [computed(plan, less=0.25)])
    assert measure(result)["center_loss"]["value"] == 0.75
    assert own(result, "test", "origin") is not None
    assert own(result, "test", "x") is None
    assert result.datasets[0].anchors.loss.tolist() == [1.0]


class TestResultsOfBefore:
    """What version 1 of the definitions stored: no networks in plans, no own values in arrays."""

    plan = JobPlan.model_validate_json((STORED / "line_numerics_1.plan.json").read_bytes())
    data = (STORED / "line_numerics_1.npz").read_bytes()
    tile = (STORED / "line_numerics_1.tile.npz").read_bytes()

    def test_a_plan_is_read_and_lays_its_tiles_into_the_same_bytes(self) -> None:
        assert self.plan.networks == ()
        assert self.plan.evaluations == 6
        result = assemble(self.plan, ["test"], [200], [Tile.from_npz(self.tile)])
        assert encode_npz(result.to_arrays()) == self.data

    def test_a_result_is_measured_and_shown_as_it_was(self) -> None:
        result = GridResult.from_arrays(decode_npz(self.data))
        assert Networks.of(result) is None
        derived = measure(result)
        known = json.loads((STORED / "line_numerics_1.measures.json").read_bytes())
        numbers = {
            k: v["value"] for k, v in derived.items() if isinstance(v, dict) and "value" in v
        }
        assert numbers == known
        body = grid_json("interpolation", result, provenance={}, derived=derived)
        assert "networks" not in body
        assert [anchor["datasets"]["test"]["loss"] for anchor in body["anchors"]] == [0.5, 2.34]
