"""The simulated fleet: held against queueing theory, and against what is committed."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "deploy" / "simulation" / "fleet.py"


@pytest.fixture(scope="module")
def fleet() -> ModuleType:
    spec = importlib.util.spec_from_file_location("fleet_simulation", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_without_costs_workers_do_nothing_but_compute(fleet: ModuleType) -> None:
    found = fleet.steady(16, 10.0, fleet.Costs(cycle=0.0, beat=0.0, latency=0.0))
    assert found.busy == pytest.approx(1.0, abs=1e-3)
    assert found.units_per_s == pytest.approx(1.6, rel=0.03)
    assert found.waiting_ms == 0.0


def test_a_lone_worker_loses_what_a_unit_costs(fleet: ModuleType) -> None:
    costs = fleet.Costs(cycle=0.5, beat=0.0, latency=0.75)
    found = fleet.steady(1, 10.0, costs)
    # nobody else is in the way: a unit takes its computing, one turn for each end, and latency
    assert found.busy == pytest.approx(10.0 / (10.0 + 0.5 + 0.75), rel=0.02)


@pytest.mark.parametrize("workers", [50, 400])
def test_the_database_is_the_end_of_it(fleet: ModuleType, workers: int) -> None:
    costs = fleet.Costs(cycle=0.25, beat=0.0, latency=0.0)
    found = fleet.steady(workers, 10.0, costs)
    limit = 1 / costs.cycle
    offered = workers / 10.0
    assert found.units_per_s <= limit * 1.02
    assert found.units_per_s == pytest.approx(min(limit, offered), rel=0.05)
    assert found.busy == pytest.approx(min(1.0, limit / offered), rel=0.05)
    assert found.database <= 1.01


def test_one_surface_ends_with_its_last_unit(fleet: ModuleType) -> None:
    costs = fleet.Costs(cycle=0.0, beat=0.0, latency=0.0)
    alone = fleet.one_surface(1, 100, 1.0, costs)
    assert alone["units"] == 10
    assert alone["seconds"] == pytest.approx(100.0, rel=0.1)
    crowd = fleet.one_surface(1_000, 100, 1.0, costs)
    # ten units cannot keep more than ten workers busy
    assert 10.0 * (1 - fleet.SPREAD) <= crowd["seconds"] <= 10.0 * (1 + fleet.SPREAD)


def test_what_is_committed_follows_from_what_was_measured(fleet: ModuleType) -> None:
    measured = json.loads(fleet.MEASURED.read_text())
    assert json.loads(fleet.RESULTS.read_text()) == fleet.simulate(measured)
