"""Sampling in a surface's spec: what may be left out, and what stays as it was."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from service.domain.grids import cut_tiles
from service.domain.plan import (
    PLANE_ANCHORS,
    BufferPolicy,
    JobPlan,
    Precision,
    SamplingPlan,
    SamplingRound,
)
from service.domain.questions.spec import AdaptiveSampling, ExactSampling
from service.domain.questions.surface.spec import SurfaceJob
from service.domain.questions.table import job_spec
from tests.ledger.world import digest


def surface(**change: Any) -> SurfaceJob:
    axis = {"min": -1, "max": 1, "num": 51}
    body = {
        "kind": "surface",
        "origin": "ckp_01k5m8z3r7q9w2x4y6t8v0b1c3",
        "directions": {"x": {"kind": "random", "seed": 1}, "y": {"kind": "random", "seed": 2}},
        "grid": {"x": axis, "y": axis},
        "datasets": ["dst_01k5m8z3r7q9w2x4y6t8v0b1c5"],
        **change,
    }
    spec = job_spec().validate_python(body)
    assert isinstance(spec, SurfaceJob)
    return spec


def test_left_out_it_is_exact_and_written_as_ever() -> None:
    for change in ({}, {"sampling": {}}, {"sampling": {"mode": "exact"}}):
        spec = surface(**change)
        assert spec.sampling == ExactSampling()
        # as it stands in the digests of earlier questions
        assert spec.model_dump(mode="json")["sampling"] == {"mode": "exact"}


def test_adaptive_has_its_defaults_written_out() -> None:
    spec = surface(sampling={"mode": "adaptive"})
    assert spec.sampling == AdaptiveSampling(mode="adaptive", tolerance=0.03, audit=0.05)
    assert job_spec().validate_python(spec.model_dump(mode="json")) == spec


@pytest.mark.parametrize(
    "sampling",
    [
        {"mode": "adaptive", "tolerance": 0.0},
        {"mode": "adaptive", "tolerance": float("nan")},
        {"mode": "adaptive", "tolerance": 1.5},
        {"mode": "adaptive", "audit": 0.9},
        {"mode": "adaptive", "cells": 100},
        {"mode": "none"},
        {"tolerance": 0.1},
    ],
)
def test_what_makes_no_sense_is_refused(sampling: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        surface(sampling=sampling)


def test_a_plan_counts_the_cells_of_its_rounds_and_what_lies_beside_the_grid() -> None:
    rounds = tuple(SamplingRound(object=digest(str(k)), cells=4 + k, tile_cells=2) for k in (0, 1))
    plan = JobPlan(
        # an even number of points: the centre lies beside the grid
        x=(-1.0, -0.5, 0.5, 1.0),
        y=(-1.0, -0.5, 0.5, 1.0),
        anchors=PLANE_ANCHORS,
        directions=(),
        cosine=None,
        orthogonalised=False,
        precision=Precision.FLOAT32,
        buffers=BufferPolicy.FROZEN,
        batch_size=1,
        threads=1,
        cell_seconds=1.0,
        tile_cells=2,
        device="cpu",
        sampling=SamplingPlan(tolerance=0.03, audit=0.04, seed=1, rounds=rounds),
    )
    assert (plan.cells, plan.evaluations, plan.steps) == (16, 17, 1 + 4 + 5)
    order = plan.order(np.array([0, 3, 12, 15, 1, 2, 4, 5, 6]))
    assert order.tolist() == [16, 0, 3, 12, 15, 1, 2, 4, 5, 6]
    slices = [*cut_tiles(plan.steps, plan.tile_cells)]
    assert slices[-1][1] == len(order)
